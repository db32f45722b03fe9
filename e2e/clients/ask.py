"""Runs one statement: rows and notices, or the error with its fields, as a user of psycopg2 sees them."""
import sys

import psycopg2

connection = psycopg2.connect("")
connection.autocommit = True
cursor = connection.cursor()
try:
    cursor.execute(sys.argv[1])
    print(cursor.statusmessage, cursor.fetchall() if cursor.description else "")
except psycopg2.Error as error:
    print(type(error).__name__, error.pgcode, error.diag.message_primary, error.diag.message_hint)
print(*connection.notices)
cursor.execute("SELECT 'still here'")
print(*cursor.fetchone())
