import { and, asc, count, desc, eq, gt, inArray, relations, sql, sum } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { date, integer, jsonb, numeric, pgTable, serial, text, timestamp } from 'drizzle-orm/pg-core';
import { Pool } from 'pg';
import type { Target } from './programs.ts';

const customers = pgTable('customers', {
  id: integer().primaryKey(),
  name: text().notNull(),
  email: text(),
  born: date(),
  credit: numeric({ precision: 12, scale: 2 }),
  tags: text().array(),
  extra: jsonb(),
  since: timestamp({ withTimezone: true }),
});
const orders = pgTable('orders', { id: serial().primaryKey(), customer: integer(), amount: integer(), note: text() });
const schema = {
  customers,
  orders,
  customersRelations: relations(customers, ({ many }) => ({ orders: many(orders) })),
  ordersRelations: relations(orders, ({ one }) => ({ owner: one(customers, { fields: [orders.customer], references: [customers.id] }) })),
};

/** The same work through drizzle, whoever is at the other end. What happened, as lines. */
export async function workOfDrizzle(target: Target): Promise<string[]> {
  const lines: string[] = [];
  const show = (what: string, value: unknown) => lines.push(`${what}: ${JSON.stringify(value)}`);
  const pool = new Pool({ ...target, max: 2 });
  const db = drizzle(pool, { schema });
  const failing = async (what: string, work: Promise<unknown>) =>
    show(
      what,
      await work.then(
        () => 'no error',
        (error: unknown) => {
          const { code, detail, constraint, message } = (error as Error).cause as Record<string, unknown>;
          return { code, detail, constraint, message };
        },
      ),
    );

  show('all', await db.select().from(customers).orderBy(asc(customers.id)));
  show(
    'related',
    await db.query.customers.findMany({
      columns: { id: true, name: true },
      with: { orders: { limit: 2, orderBy: asc(orders.id) } },
      orderBy: asc(customers.id),
    }),
  );
  show('nested', await db.query.orders.findFirst({ where: eq(orders.id, 7), with: { owner: true } }));
  const totals = db
    .select({ who: orders.customer, total: sum(orders.amount).as('total') })
    .from(orders)
    .groupBy(orders.customer)
    .as('totals');
  show(
    'joined',
    await db
      .select({ name: customers.name, total: totals.total })
      .from(customers)
      .innerJoin(totals, eq(customers.id, totals.who))
      .orderBy(desc(totals.total)),
  );
  const byId = db
    .select({ n: count() })
    .from(orders)
    .where(and(eq(orders.customer, sql.placeholder('id')), gt(orders.amount, 10)))
    .prepare('orders_of');
  show('prepared', [await byId.execute({ id: 1 }), await byId.execute({ id: 2 })]);
  await db
    .transaction(async (tx) => {
      show(
        'inserted',
        await tx
          .insert(orders)
          .values([
            { id: 9001, customer: 1, amount: 5 },
            { id: 9002, customer: 2, amount: 6, note: 'six' },
          ])
          .returning(),
      );
      show(
        'upserted',
        await tx
          .insert(orders)
          .values({ id: 9001, customer: 1, amount: 8 })
          .onConflictDoUpdate({ target: orders.id, set: { amount: 9 } })
          .returning(),
      );
      show(
        'updated',
        await tx
          .update(orders)
          .set({ note: sql`upper(${orders.note})` })
          .where(inArray(orders.id, [9002]))
          .returning(),
      );
      await failing(
        'savepoint',
        tx.transaction((inner) => inner.insert(orders).values({ id: 9003, customer: 1, amount: -1 })),
      );
      show('deleted', await tx.delete(orders).where(gt(orders.id, 9000)).returning({ id: orders.id }));
      tx.rollback();
    })
    .catch((error: unknown) => show('rolled back', String(error)));
  await failing('foreign key', db.insert(orders).values({ id: 9001, customer: 99, amount: 1 }));
  await failing('syntax', db.execute(sql`SELEC 1`));
  show('count', await db.$count(orders));
  await pool.end();
  return lines;
}

/** What a user of it sees of masked columns. */
export async function maskedInDrizzle(target: Target): Promise<unknown> {
  const pool = new Pool({ ...target, max: 1 });
  try {
    const db = drizzle(pool, { schema });
    return await db.query.customers.findMany({
      columns: { id: true, email: true },
      with: { orders: { limit: 1 } },
      orderBy: asc(customers.id),
    });
  } finally {
    await pool.end();
  }
}
