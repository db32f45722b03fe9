"""The same work through psycopg 3, whoever is at the other end: connection settings come from PG* variables, what happened goes to stdout."""
import logging
import sys

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

# Whether a broken pipeline is warned of when it is left depends on how fast its answers came.
logging.getLogger("psycopg").setLevel(logging.ERROR)


def show(what, value):
    print(f"{what}: {value!r}")


def failing(what, work):
    try:
        work()
    except psycopg.Error as error:
        diag = error.diag
        show(what, (type(error).__name__, error.sqlstate, diag.message_primary, diag.message_detail, diag.constraint_name, diag.statement_position))


if "masked" in sys.argv:
    with psycopg.connect("") as connection, connection.cursor(binary=True) as cursor:
        print(cursor.execute("SELECT id, email FROM customers WHERE id = %s", (1,)).fetchall())
    sys.exit()

connection = psycopg.connect("", autocommit=True, prepare_threshold=0)
notices = []
connection.add_notice_handler(lambda diag: notices.append((diag.severity, diag.message_primary)))
QUERY = "SELECT id, name, born, credit, tags, extra, photo FROM customers WHERE id = ANY(%s) ORDER BY id"
for binary in (False, True):
    cursor = connection.cursor(binary=binary, row_factory=dict_row)
    show("rows", cursor.execute(QUERY, ([1, 2, 3],)).fetchall())
    show("description", [(column.name, column.type_code, column.internal_size) for column in cursor.description])
cursor = connection.cursor()
show("text and binary", cursor.execute("SELECT %b::int, %t::text, %s::jsonb", (1, "it's; ", '{"a": 1}')).fetchone())
failing("foreign key", lambda: cursor.execute("INSERT INTO orders (id, customer, amount) VALUES (%s, 99, 1)", (9001,)))
failing("no column", lambda: cursor.execute("SELECT nothing FROM customers"))
failing("syntax", lambda: cursor.execute("SELEC 1"))

with connection.pipeline() as pipeline:
    many = [connection.execute("SELECT %s::int, sum(amount) FROM orders WHERE customer = %s", (i, 1 + i % 3)) for i in range(30)]
    pipeline.sync()
    show("pipeline", [one.fetchone() for one in many])


def broken():
    with connection.pipeline():
        connection.execute("SELECT 1")
        connection.execute("SELECT nothing FROM customers")
        connection.execute("SELECT 2")


failing("broken pipeline", broken)
with connection.transaction(force_rollback=True):
    cursor.executemany("INSERT INTO orders (id, customer, amount) VALUES (%s, 1, %s) RETURNING id", [(9001 + i, 1 + i) for i in range(20)], returning=True)
    show("returned", cursor.fetchone())

    def inner():
        with connection.transaction():
            connection.execute("SELECT 1/0")

    failing("savepoint", inner)
    with connection.cursor("server_side", scrollable=True) as named:
        named.execute("SELECT id FROM orders ORDER BY id")
        show("server side", (named.fetchmany(5), named.scroll(50), named.fetchone()))
connection.execute("CREATE TEMP TABLE copied (id int, note text)")
for form in ("", "(FORMAT BINARY)"):
    with cursor.copy(sql.SQL("COPY copied FROM STDIN ") + sql.SQL(form)) as copy:
        copy.set_types(["int4", "text"])
        for i in range(300):
            copy.write_row((i, f"note {i}"))
    with cursor.copy(sql.SQL("COPY (SELECT * FROM copied ORDER BY id LIMIT 3) TO STDOUT ") + sql.SQL(form)) as copy:
        copy.set_types(["int4", "text"])
        show("copied", list(copy.rows()))


def failing_copy():
    with cursor.copy("COPY copied FROM STDIN") as copy:
        copy.write("not a number\tx\n")


failing("failing copy", failing_copy)
connection.execute("LISTEN channel")
heard = []
connection.add_notify_handler(lambda notify: heard.append((notify.channel, notify.payload)))
connection.execute("NOTIFY channel, 'hello'")
connection.execute("SELECT 1")
show("notification", heard)
connection.execute("DROP TABLE IF EXISTS nothing_here")
show("notices", notices)
show("count", connection.execute("SELECT count(*) FROM orders").fetchone())
