"""The same work through SQLAlchemy's ORM, whoever is at the other end. With the argument `masked` it shows what is seen of masked columns."""
import os
import sys

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Numeric, Text, create_engine, func, inspect, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, declarative_base, joinedload, relationship, selectinload

Base = declarative_base()


class Customer(Base):
    __tablename__ = "customers"
    id = Column(Integer, primary_key=True)
    name = Column(Text, nullable=False)
    email = Column(Text)
    credit = Column(Numeric(12, 2))
    tags = Column(ARRAY(Text))
    extra = Column(JSONB)
    orders = relationship("Order", back_populates="owner", order_by="Order.id")


class Order(Base):
    __tablename__ = "orders"
    id = Column(Integer, primary_key=True)
    customer = Column(Integer, ForeignKey("customers.id"))
    amount = Column(Integer)
    note = Column(Text)
    owner = relationship("Customer", back_populates="orders")


def show(what, value):
    print(f"{what}: {value!r}")


def failing(what, work):
    try:
        work()
    except DBAPIError as error:
        show(what, (type(error).__name__, type(error.orig).__name__, error.orig.pgcode, error.orig.diag.message_primary, error.orig.diag.constraint_name))


engine = create_engine(f"postgresql+psycopg2://{os.environ['PGUSER']}:{os.environ['PGPASSWORD']}@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}")

if "masked" in sys.argv:
    with Session(engine) as session:
        for customer in session.execute(select(Customer).options(selectinload(Customer.orders)).where(Customer.id == 1)).scalars():
            print(customer.id, customer.email, len(customer.orders))
    sys.exit()

reflected = MetaData()
reflected.reflect(engine)
for table in reflected.sorted_tables:
    if table.name in ("customers", "orders"):
        show(table.name, [(c.name, str(c.type), c.nullable, [str(k.column) for k in c.foreign_keys]) for c in table.columns])
show("constraints", inspect(engine).get_check_constraints("orders"))
show("views", sorted(inspect(engine).get_view_names()))

with Session(engine) as session:
    for customer in session.execute(select(Customer).options(joinedload(Customer.orders)).order_by(Customer.id)).unique().scalars():
        show("customer", (customer.id, customer.name, customer.email, customer.credit, customer.tags, customer.extra, len(customer.orders)))
    totals = select(Order.customer, func.sum(Order.amount).label("total")).group_by(Order.customer).cte("totals")
    show("cte", session.execute(select(Customer.name, totals.c.total).join(totals, totals.c.customer == Customer.id).order_by(totals.c.total)).all())
    session.add_all([Order(id=9001, customer=1, amount=5), Order(id=9002, customer=2, amount=6, note="six")])
    session.flush()
    show("returning", session.execute(insert(Order).values(id=9001, amount=7).on_conflict_do_update(index_elements=["id"], set_={"amount": 8}).returning(Order.id, Order.amount)).all())

    def broken():
        with session.begin_nested():
            session.add(Order(id=9003, customer=99, amount=1))
            session.flush()

    failing("savepoint", broken)
    show("still there", session.execute(select(func.count()).select_from(Order).where(Order.id > 9000)).scalar())
    session.execute(text("UPDATE orders SET note = :note WHERE id > 9000"), {"note": "new"})
    session.delete(session.get(Order, 9002))
    session.flush()
    session.rollback()
    failing("syntax", lambda: session.execute(text("SELEC 1")))
    session.rollback()
    show("streamed", sum(row.id for row in session.execute(select(Order).execution_options(yield_per=17)).scalars()))
    show("count", session.execute(select(func.count()).select_from(Order)).scalar())
