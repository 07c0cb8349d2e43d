"""SQL as text, for statements that are made without a connection, such as those that create everything."""


def identifier(name: str) -> str:
    """A declared name, quoted."""
    return '"{}"'.format(name.replace('"', '""'))


def literal(value: str) -> str:
    """A declared text as a SQL string."""
    return "'{}'".format(value.replace("'", "''"))


def comment(kind: str, name: str, text: str) -> str:
    """The statement that describes a table or column."""
    return f'comment on {kind} {name} is {literal(text)};'
