// The same work through pgx, whoever is at the other end: connection settings come from PG* variables, what happened goes to stdout.
// With the argument `masked` it shows what is seen of masked columns.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

type customer struct {
	ID     int32
	Name   string
	Email  *string
	Born   pgtype.Date
	Credit pgtype.Numeric
	Tags   []string
	Extra  any
	Photo  []byte
	Since  pgtype.Timestamptz
}

const columns = "id, name, email, born, credit, tags, extra, photo, since"

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Println("failed:", words(err))
		os.Exit(1)
	}
}

func words(err error) string {
	var of *pgconn.PgError
	if errors.As(err, &of) {
		return fmt.Sprint([]any{of.Severity, of.Code, of.Message, of.Detail, of.Hint, of.Position, of.ConstraintName, of.TableName})
	}
	if err == nil {
		return "no error"
	}
	return err.Error()
}

func main() {
	ctx := context.Background()
	if len(os.Args) > 1 && os.Args[1] == "masked" {
		masked(ctx)
		return
	}
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		query(ctx, mode)
	}
	special(ctx)
	pooled(ctx)
}

func connect(ctx context.Context, mode pgx.QueryExecMode) *pgx.Conn {
	config := must(pgx.ParseConfig(""))
	config.DefaultQueryExecMode = mode
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { fmt.Println("notice:", notice.Code, notice.Message) }
	return must(pgx.ConnectConfig(ctx, config))
}

func query(ctx context.Context, mode pgx.QueryExecMode) {
	fmt.Println("==", mode)
	conn := connect(ctx, mode)
	defer conn.Close(ctx)
	for range 2 {
		rows := must(conn.Query(ctx, "SELECT "+columns+" FROM customers WHERE id <= $1 ORDER BY id", 3))
		for _, row := range must(pgx.CollectRows(rows, pgx.RowToStructByPos[customer])) {
			fmt.Printf("%+v\n", []any{row.ID, row.Name, row.Born, row.Tags, row.Extra, row.Photo, row.Since.InfinityModifier})
		}
	}
	var text string
	check(conn.QueryRow(ctx, "SELECT $1::text || $2::text", "it's; ", `"q"`).Scan(&text))
	fmt.Println("round trip:", text)
	_, err := conn.Exec(ctx, "INSERT INTO orders (id, customer, amount) VALUES ($1, $2, $3)", 9001, 99, 1)
	fmt.Println("foreign key:", words(err))
	_, err = conn.Exec(ctx, "SELECT nothing FROM customers")
	fmt.Println("no column:", words(err))
	_, err = conn.Exec(ctx, "SELEC 1")
	fmt.Println("syntax:", words(err))
	tx := must(conn.Begin(ctx))
	fmt.Println("insert:", must(tx.Exec(ctx, "INSERT INTO orders (id, customer, amount) VALUES ($1, 1, 5)", 9001)))
	inner := must(tx.Begin(ctx))
	_, err = inner.Exec(ctx, "SELECT 1/0")
	fmt.Println("savepoint:", words(err), inner.Rollback(ctx))
	check(tx.Rollback(ctx))
	var count int
	check(conn.QueryRow(ctx, "SELECT count(*) FROM orders").Scan(&count))
	fmt.Println("count:", count)
}

func special(ctx context.Context) {
	conn := connect(ctx, pgx.QueryExecModeCacheStatement)
	defer conn.Close(ctx)
	batch := &pgx.Batch{}
	for i := range 30 {
		batch.Queue("SELECT $1::int, sum(amount) FROM orders WHERE customer = $2", i, 1+i%3)
	}
	results := conn.SendBatch(ctx, batch)
	for range 30 {
		var number, amount int
		check(results.QueryRow().Scan(&number, &amount))
		fmt.Print(number, "=", amount, " ")
	}
	fmt.Println()
	check(results.Close())
	broken := &pgx.Batch{}
	broken.Queue("SELECT 1 / $1::int", 0)
	broken.Queue("SELECT 1")
	results = conn.SendBatch(ctx, broken)
	_, err := results.Exec()
	fmt.Println("batch:", words(err), words(results.Close()))

	must(conn.Exec(ctx, "CREATE TEMP TABLE copied (id int, note text, at timestamptz)"))
	source := pgx.CopyFromSlice(500, func(i int) ([]any, error) { return []any{i, fmt.Sprint("note ", i), time.Unix(int64(i), 0)}, nil })
	fmt.Println("copied:", must(conn.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"id", "note", "at"}, source)))
	fmt.Println("copy out:", must(conn.PgConn().CopyTo(ctx, os.Stdout, "COPY (SELECT id, note FROM copied WHERE id < 3 ORDER BY id) TO STDOUT")))
	several := must(conn.PgConn().Exec(ctx, "SELECT 1; SELECT 2, 'two'; DROP TABLE IF EXISTS nothing_here").ReadAll())
	for _, result := range several {
		fmt.Printf("several: %v %q\n", result.CommandTag, result.Rows)
	}

	must(conn.Exec(ctx, "LISTEN channel"))
	must(conn.Exec(ctx, "SELECT pg_notify('channel', 'hello')"))
	heard := must(conn.WaitForNotification(ctx))
	fmt.Println("notification:", heard.Channel, heard.Payload)
	var large string
	check(conn.QueryRow(ctx, "SELECT repeat('long ', 400000)").Scan(&large))
	fmt.Println("large:", len(large))
	_, err = conn.Exec(ctx, "SET statement_timeout = 50")
	check(err)
	_, err = conn.Exec(ctx, "SELECT pg_sleep(60)")
	fmt.Println("timeout:", words(err))
}

func pooled(ctx context.Context) {
	config := must(pgxpool.ParseConfig("pool_max_conns=4"))
	pool := must(pgxpool.NewWithConfig(ctx, config))
	defer pool.Close()
	sums := make(chan int, 40)
	for i := range 40 {
		go func() {
			var amount int
			check(pool.QueryRow(ctx, "SELECT sum(amount) FROM orders WHERE customer = $1", 1+i%3).Scan(&amount))
			sums <- amount
		}()
	}
	all := 0
	for range 40 {
		all += <-sums
	}
	fmt.Println("pool:", all)
}

func masked(ctx context.Context) {
	conn := connect(ctx, pgx.QueryExecModeCacheStatement)
	defer conn.Close(ctx)
	rows := must(conn.Query(ctx, "SELECT "+columns+" FROM customers WHERE id = $1", 1))
	for _, row := range must(pgx.CollectRows(rows, pgx.RowToStructByPos[customer])) {
		fmt.Println(row.ID, row.Name, *row.Email)
	}
}
