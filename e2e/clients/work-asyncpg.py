"""The same work through asyncpg, whoever is at the other end: connection settings come from PG* variables, what happened goes to stdout."""
import asyncio
import io
import sys

import asyncpg


def show(what, value):
    print(f"{what}: {value!r}")


async def failing(what, work):
    try:
        await work
    except asyncpg.PostgresError as error:
        show(what, (type(error).__name__, error.sqlstate, error.message, error.detail, error.constraint_name, error.position))
    except asyncio.TimeoutError:
        show(what, "timeout")


async def masked():
    connection = await asyncpg.connect(statement_cache_size=10)
    print([tuple(row) for row in await connection.fetch("SELECT id, email, tags FROM customers WHERE id = $1", 1)])
    await connection.close()


async def work():
    connection = await asyncpg.connect()
    notices = []
    connection.add_log_listener(lambda _, message: notices.append(message.message))
    show("version", connection.get_server_version().major)
    for _ in range(2):
        rows = await connection.fetch("SELECT id, name, born, credit, tags, extra, photo, since FROM customers WHERE id = ANY($1::int[]) ORDER BY id", [1, 2, 3])
        show("rows", [tuple(row) for row in rows])
    statement = await connection.prepare("SELECT $1::text || name AS said, $2::numeric AS number FROM customers WHERE id = $3")
    show("prepared", ([(a.name, a.type.name) for a in statement.get_attributes()], [p.name for p in statement.get_parameters()]))
    show("prepared rows", [tuple(row) for row in await statement.fetch("it's; ", 1, 2)])
    await failing("foreign key", connection.execute("INSERT INTO orders (id, customer, amount) VALUES ($1, $2, $3)", 9001, 99, 1))
    await failing("no column", connection.fetch("SELECT nothing FROM customers"))
    await failing("syntax", connection.fetch("SELEC 1"))
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    show("insert", await connection.fetchrow("INSERT INTO orders (id, customer, amount) VALUES (9001, 1, 5) RETURNING id, amount"))
    try:
        async with connection.transaction():
            await connection.execute("SELECT 1/0")
    except asyncpg.DivisionByZeroError as error:
        show("savepoint", error.sqlstate)
    show("cursor", [row["id"] async for row in connection.cursor("SELECT id FROM orders ORDER BY id LIMIT 20", prefetch=7)])
    await transaction.rollback()
    await connection.execute("CREATE TEMP TABLE copied (id int, note text, tags text[]); DROP TABLE IF EXISTS nothing_here")
    show("copied", await connection.copy_records_to_table("copied", records=[(i, f"note {i}", ["a", None]) for i in range(500)]))
    out = io.BytesIO()
    show("copied out", await connection.copy_from_query("SELECT * FROM copied WHERE id < $1 ORDER BY id", 3, output=out, format="csv"))
    show("csv", out.getvalue())
    await connection.executemany("UPDATE copied SET note = $2 WHERE id = $1", [(i, "new") for i in range(100)])
    show("changed", await connection.fetchval("SELECT count(*) FROM copied WHERE note = 'new'"))
    heard = asyncio.get_running_loop().create_future()
    await connection.add_listener("channel", lambda _c, _pid, channel, payload: heard.set_result((channel, payload)))
    await connection.execute("NOTIFY channel, 'hello'")
    show("notification", await heard)
    await failing("timeout", connection.fetch("SELECT pg_sleep(60)", timeout=0.5))
    show("alive", await connection.fetchval("SELECT count(*) FROM orders"))
    show("notices", notices)
    await connection.close()
    async with asyncpg.create_pool(min_size=1, max_size=4) as pool:
        show("pool", await asyncio.gather(*(pool.fetchval("SELECT sum(amount) FROM orders WHERE customer = $1", 1 + i % 3) for i in range(40))))


asyncio.run(masked() if "masked" in sys.argv else work())
