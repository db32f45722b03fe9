import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.Arrays;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

/** The same work through JDBC, whoever is at the other end: settings come from PG* variables. With the argument `masked` it shows what is seen of masked columns. */
public class Work {
  interface Step { void run() throws Exception; }

  public static void main(String[] args) throws Exception {
    if (args.length > 0 && args[0].equals("masked")) {
      try (Connection c = connect("extended"); PreparedStatement s = c.prepareStatement("SELECT id, email FROM customers WHERE id = ?")) {
        s.setInt(1, 1);
        for (int i = 0; i < 7; i++) print(s.executeQuery());
      }
      return;
    }
    for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
      System.out.println("== " + mode);
      try (Connection c = connect(mode)) { queries(c); }
    }
    try (Connection c = connect("extended")) { special(c); }
  }

  static Connection connect(String mode) throws SQLException {
    Properties p = new Properties();
    p.setProperty("user", System.getenv("PGUSER"));
    p.setProperty("password", System.getenv("PGPASSWORD"));
    p.setProperty("preferQueryMode", mode);
    p.setProperty("prepareThreshold", "3");
    p.setProperty("reWriteBatchedInserts", "true");
    return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), p);
  }

  static void queries(Connection c) throws Exception {
    try (PreparedStatement s = c.prepareStatement("SELECT id, name, born, credit, tags, extra, photo, since FROM customers WHERE id <= ? ORDER BY id")) {
      // Past the threshold it is a named statement with binary results.
      for (int i = 0; i < 6; i++) { s.setInt(1, 3); print(s.executeQuery()); }
    }
    failing("foreign key", () -> c.createStatement().executeUpdate("INSERT INTO orders (id, customer, amount) VALUES (9001, 99, 1)"));
    failing("no column", () -> c.createStatement().executeQuery("SELECT nothing FROM customers"));
    failing("syntax", () -> c.createStatement().executeQuery("SELEC 1"));
    c.setAutoCommit(false);
    try (PreparedStatement s = c.prepareStatement("INSERT INTO orders (id, customer, amount) VALUES (?, ?, ?)", Statement.RETURN_GENERATED_KEYS)) {
      for (int i = 0; i < 50; i++) { s.setInt(1, 9000 + i); s.setInt(2, 1 + i % 3); s.setInt(3, 1 + i); s.addBatch(); }
      System.out.println("batch: " + Arrays.toString(s.executeBatch()));
      print(s.getGeneratedKeys());
    }
    Savepoint savepoint = c.setSavepoint("here");
    failing("zero", () -> c.createStatement().execute("SELECT 1/0"));
    c.rollback(savepoint);
    try (Statement s = c.createStatement()) {
      s.setFetchSize(7);
      ResultSet rows = s.executeQuery("SELECT id FROM orders ORDER BY id");
      long sum = 0;
      while (rows.next()) sum += rows.getLong(1);
      System.out.println("fetched: " + sum);
    }
    c.rollback();
    c.setAutoCommit(true);
    print(c.createStatement().executeQuery("SELECT count(*) FROM orders"));
  }

  static void special(Connection c) throws Exception {
    DatabaseMetaData about = c.getMetaData();
    print(about.getColumns(null, "public", "customers", "%"));
    print(about.getPrimaryKeys(null, "public", "orders"));
    print(about.getImportedKeys(null, "public", "orders"));
    print(about.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"}));
    try (Statement s = c.createStatement()) {
      boolean isRows = s.execute("SELECT 1; CREATE TEMP TABLE copied (id int, note text); SELECT 2, 'two'; DROP TABLE IF EXISTS nothing_here");
      while (isRows || s.getUpdateCount() != -1) {
        if (isRows) print(s.getResultSet());
        isRows = s.getMoreResults();
      }
      System.out.println("warning: " + s.getWarnings());
    }
    var copy = c.unwrap(PGConnection.class).getCopyAPI();
    System.out.println("copied: " + copy.copyIn("COPY copied FROM STDIN", new StringReader("1\tone\n2\ttwo\n")));
    StringWriter out = new StringWriter();
    System.out.println("copied: " + copy.copyOut("COPY copied TO STDOUT WITH (FORMAT csv)", out) + " " + out);
    try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
      c.createStatement().execute("ALTER TABLE copied ADD PRIMARY KEY (id)");
      ResultSet rows = s.executeQuery("SELECT id, note FROM copied ORDER BY id");
      rows.last();
      rows.updateString(2, "changed");
      rows.updateRow();
      print(c.createStatement().executeQuery("SELECT * FROM copied ORDER BY id"));
    }
    try (Statement s = c.createStatement()) {
      s.setQueryTimeout(1);
      failing("timeout", () -> s.execute("SELECT pg_sleep(60)"));
    }
    c.createStatement().execute("LISTEN channel");
    c.createStatement().execute("NOTIFY channel, 'hello'");
    for (var heard : c.unwrap(PGConnection.class).getNotifications(5000)) System.out.println("notification: " + heard.getName() + " " + heard.getParameter());
  }

  static void failing(String what, Step step) throws Exception {
    try {
      step.run();
    } catch (SQLException error) {
      var of = ((PSQLException) error).getServerErrorMessage();
      System.out.println(what + ": " + error.getSQLState() + " " + (of == null ? error.getMessage() : of.getMessage() + " " + of.getDetail() + " " + of.getHint() + " " + of.getPosition()));
    }
  }

  static void print(ResultSet rows) throws SQLException {
    ResultSetMetaData about = rows.getMetaData();
    while (rows.next()) {
      StringBuilder line = new StringBuilder();
      for (int i = 1; i <= about.getColumnCount(); i++) line.append(about.getColumnLabel(i)).append('=').append(rows.getObject(i) instanceof byte[] bytes ? Arrays.toString(bytes) : rows.getString(i)).append(' ');
      System.out.println(line);
    }
  }
}
