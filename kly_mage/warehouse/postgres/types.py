"""The types that declared columns have in PostgreSQL."""

from kly_mage.declared.base import Kind

POSTGRES_TYPES: dict[Kind, str] = {
    'text': 'text',
    'id': 'text',
    'timestamp': 'timestamptz',
    'count': 'bigint',
    'money': 'numeric',
    'fingerprint': 'uuid',
}
