"""The place of a row in the order of delivery, in SQL: when its file was delivered, the file's name in byte order, the line.

``_delivered_at`` is one instant for all rows of a file, and files of one day share it: the name tells them apart. So which
of two rows is the newer one follows from the files they stand in, never from what lay beside those when they were loaded.
"""

from psycopg2 import sql

COLUMNS = ('_delivered_at', '_file', '_line')


def file_of(table: str) -> sql.SQL:
    """The place of the file in which a row of ``table`` (an alias) stands: greater is newer."""
    return sql.SQL(f'{table}._delivered_at, {table}._file collate "C"')


def row_of(table: str) -> sql.SQL:
    """The place of a row of ``table``: greater is newer."""
    return sql.SQL(f'{table}._delivered_at, {table}._file collate "C", {table}._line')


def newest_first(table: str) -> sql.SQL:
    """What rows of ``table`` are ordered by, so that the last one delivered comes first."""
    return sql.SQL(f'{table}._delivered_at desc, {table}._file collate "C" desc, {table}._line desc')


def newest_file_first(table: str) -> sql.SQL:
    """The same where two rows of one file are no restatement: of the newest file the first row comes first."""
    return sql.SQL(f'{table}._delivered_at desc, {table}._file collate "C" desc, {table}._line')
