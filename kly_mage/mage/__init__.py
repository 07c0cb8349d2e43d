"""All that is about Mage: its server, the editor, its client, backfills, alerts, charts."""
