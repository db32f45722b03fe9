"""The same work through psycopg2, whoever is at the other end: connection settings come from PG* variables, what happened goes to stdout."""
import threading
import time
from datetime import date
from decimal import Decimal

import psycopg2
from psycopg2 import extensions, extras


def show(what, value):
    print(f"{what}: {value!r}")


def failing(cursor, sql, args=None):
    try:
        cursor.execute(sql, args)
    except psycopg2.Error as error:
        diag = error.diag
        show(sql[:40], (type(error).__name__, error.pgcode, diag.severity, diag.message_primary, diag.message_detail, diag.message_hint,
                        diag.constraint_name, diag.table_name, diag.statement_position))


connection = psycopg2.connect("")
cursor = connection.cursor()
show("parameters", [connection.get_parameter_status(name) for name in ("server_version", "client_encoding", "standard_conforming_strings", "integer_datetimes")])
cursor.execute("SELECT id, name, born, credit, tags, extra, photo FROM customers WHERE id = ANY(%s) ORDER BY id", ([1, 2, 3],))
show("description", [(d.name, d.type_code, d.internal_size, d.precision, d.scale) for d in cursor.description])
show("rows", [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor])
cursor.execute("SELECT %s::numeric, %s::date, %s::bytea, %s::text, %s::text[]", (Decimal("1.10"), date(2024, 2, 29), b"\x00'\\", "it's; -- 100%", ["a", None, 'q"']))
show("round trip", [bytes(v) if isinstance(v, memoryview) else v for v in cursor.fetchone()])

cursor.execute("INSERT INTO orders (id, customer, amount) VALUES (9001, 1, 7) RETURNING id")
show("returning", (cursor.fetchall(), cursor.rowcount, cursor.statusmessage))
failing(cursor, "INSERT INTO orders (id, customer, amount) VALUES (9002, 1, -7)")
failing(cursor, "SELECT 1")
show("status", connection.get_transaction_status() == extensions.TRANSACTION_STATUS_INERROR)
connection.rollback()
cursor.execute("SELECT count(*) FROM orders")
show("rolled back", cursor.fetchone())
failing(cursor, "SELECT nothing FROM customers")
connection.rollback()

cursor.execute("CREATE TEMP TABLE pairs (a int, b text)")
extras.execute_values(cursor, "INSERT INTO pairs VALUES %s", [(i, "b" * i) for i in range(250)], page_size=100)
cursor.executemany("UPDATE pairs SET b = %s WHERE a = %s", [("new", 1), ("newer", 2)])
with open("/dev/null", "w", encoding="utf8") as sink:
    cursor.copy_expert("COPY pairs TO STDOUT", sink)
cursor.execute("SELECT count(*), sum(length(b)), max(b) FROM pairs")
show("pairs", cursor.fetchone())
connection.commit()

named = connection.cursor("server_side")
named.itersize = 13
named.execute("SELECT id, note FROM orders ORDER BY id")
show("server side cursor", sum(row[0] for row in named))
named.close()
connection.commit()

connection.autocommit = True
cursor.execute("DROP TABLE IF EXISTS nothing_here")
show("notices", connection.notices)
cursor.execute("SELECT 1; SELECT 2 AS two")
show("last of two", cursor.fetchall())

sleeper = threading.Thread(target=failing, args=(cursor, "SELECT pg_sleep(60)"))
sleeper.start()
watcher = psycopg2.connect("")
watching = watcher.cursor()
watching.execute("SELECT 1")
for _ in range(200):
    watching.execute("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND wait_event = 'PgSleep'")
    if watching.fetchone()[0] == 1:
        break
    time.sleep(0.05)
connection.cancel()
sleeper.join()
cursor.execute("SELECT 'alive'")
show("after cancel", cursor.fetchone())
watcher.close()
connection.close()
