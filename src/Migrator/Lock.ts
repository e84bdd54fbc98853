/**
 * The lock that lets one process at a time migrate a database.
 *
 * It is a transaction-level advisory lock, held by a transaction on a connection of its own: a session-level lock is
 * lost behind a transaction pooler, and the migrations' own transactions come and go. The holder takes it by the simple
 * protocol under READ COMMITTED, so that its idle transaction holds no snapshot and CREATE INDEX CONCURRENTLY does not
 * wait for it. For the same reason nobody ever blocks inside the lock function: who waits polls, each time in a
 * transaction that is closed at once.
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { MigrationEvent } from "./Event.ts"
import { MigrationError } from "./MigrationError.ts"
import { Occupied, poll } from "./Poll.ts"
import * as Session from "./Session.ts"

/**
 * How the session that holds the lock names itself, followed by who runs it. It is idle in a transaction on purpose;
 * monitors leave it alone by this prefix.
 */
export const lockApplication = "plinth-migrator-lock"

/** How the session that runs migrations names itself. */
export const workApplication = "plinth-migrator"

/** "plin", "migr": the lock is per database, so it needs no more. */
const key = { classId: 0x706c696e, objectId: 0x6d696772 } as const

const isOurs = `l.locktype = 'advisory' AND l.granted
  AND l.classid = ${key.classId} AND l.objid = ${key.objectId} AND l.objsubid = 2
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())`

/** A lock that is held. */
export interface Lock {
  readonly session: Session.Session
  /** A SQL condition that is true, in any session of the database, for as long as the lock is held. */
  readonly isHeld: string
}

export interface LockOptions {
  /** How long to wait for another process. */
  readonly wait: Duration.Duration
  /** Who asks, as the next one in the queue reads it. */
  readonly owner: string
  readonly emit: (event: MigrationEvent) => Effect.Effect<void>
}

/** Starts quickly for the short runs that are the rule, and slows down for the long one. */
const polling = Schedule.exponential("50 millis", 1.5).pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.jittered
)

const Holder = Schema.Struct({
  pid: Schema.Int,
  application: Schema.NullOr(Schema.String),
  address: Schema.NullOr(Schema.String),
  since: Schema.NullOr(Schema.String)
})

/** The function under `pg_stat_activity`: the view would wait for a migration that has a shared catalogue locked. */
const holderQuery = `SELECT l.pid, a.application_name AS application, a.client_addr::text AS address,
  pg_catalog.to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS since
FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) a ON a.pid = l.pid
WHERE ${isOurs}`

const describeHolder = ([holder]: ReadonlyArray<typeof Holder.Type>): string => {
  if (holder === undefined) return "a process that has just finished"
  const { address, application, pid, since } = holder
  const owner =
    application?.startsWith(`${lockApplication} `) === true ? application.slice(lockApplication.length + 1) : ""
  const facts = [
    `server pid ${pid}`,
    ...(address === null ? [] : [`from ${address}`]),
    ...(since === null ? [] : [`since ${since}`])
  ]
  // Ours are `host:pid`, which people take for an address.
  const [, host, processId] = /^(.+):(\d+)$/.exec(owner) ?? []
  const who = processId === undefined ? owner || "another process" : `process ${processId} on ${host}`
  return `${who} (${facts.join(", ")})`
}

/** Who migrates this database at this moment, as any session of it sees it; a standby does not. */
export const holder = (session: Session.Session): Effect.Effect<Option.Option<string>, SqlError> =>
  Effect.map(session.read(Holder, holderQuery), (rows) =>
    rows.length === 0 ? Option.none() : Option.some(describeHolder(rows))
  )

/** Takes the lock, waiting for it if need be; it is given back when the scope closes. */
export const acquire = Effect.fnUntraced(function* (
  reserve: Effect.Effect<Connection, SqlError | MigrationError, Scope.Scope>,
  options: LockOptions
): Effect.fn.Return<Lock, SqlError | MigrationError, Scope.Scope> {
  const session = yield* Session.make(reserve, `${lockApplication} ${options.owner}`)

  const begin = [
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    // Without it the idle transaction is ended by the server (25P03), and a second process begins to migrate.
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    ...(session.facts.serverVersion >= 170000 ? ["SET LOCAL transaction_timeout = 0"] : [])
  ].join("; ")

  const attempt = Effect.gen(function* () {
    yield* session.run(begin)
    const [row] = yield* session.read(
      Schema.Struct({ pid: Schema.Int, locked: Schema.Boolean }),
      `SELECT pg_catalog.pg_backend_pid() AS pid,
        pg_catalog.pg_try_advisory_xact_lock(${key.classId}, ${key.objectId}) AS locked`
    )
    if (row?.locked === true) return row.pid
    yield* session.run("ROLLBACK")
    const holders = yield* session.read(Holder, holderQuery)
    return yield* new Occupied({ holder: describeHolder(holders), pid: holders[0]?.pid })
  })

  const pid = yield* poll(attempt, {
    schedule: polling,
    wait: options.wait,
    report: (holder, waited) => options.emit(MigrationEvent.WaitingForLock({ holder, waited }))
  }).pipe(
    Effect.catchTag(
      "Occupied",
      ({ holder, pid }) =>
        new MigrationError({
          reason: "LockUnavailable",
          description: `${holder} migrates this database and was not done after ${Duration.format(options.wait)}`,
          advice:
            "wait for it to finish and run again, wait longer with lockWait (--lock-wait), or, if its process is gone, " +
            `end its session: SELECT pg_terminate_backend(${pid ?? "pid"})`
        })
    )
  )
  return { session, isHeld: `EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = ${pid} AND ${isOurs})` }
})

/** The lock is gone: somebody else may migrate by now, so nothing more may be done. */
export const lost = (progress?: string): MigrationError =>
  new MigrationError({
    reason: "LockLost",
    description: "the session that holds the migration lock was ended, so another process may be migrating by now",
    advice:
      "run again: it goes on where this run stopped; find out who ended the session (an idle timeout, an administrator)",
    progress
  })

const Orphan = Schema.Struct({ pid: Schema.Int })

/**
 * Waits until no session of an earlier run works any more. The lock of a killed process is free at once, while the
 * server takes up to a second to notice that nobody waits for its running statement.
 */
export const awaitOrphans = Effect.fnUntraced(function* (
  lock: Lock,
  work: Session.Session,
  options: LockOptions
): Effect.fn.Return<void, SqlError | MigrationError> {
  const pid = yield* prove(lock, work)
  const look = Effect.gen(function* () {
    yield* lock.session.run("SELECT pg_catalog.pg_stat_clear_snapshot()")
    return yield* lock.session.read(
      Orphan,
      `SELECT pid FROM pg_catalog.pg_stat_activity
      WHERE datname = pg_catalog.current_database() AND application_name = '${workApplication}' AND pid <> ${pid}`
    )
  })
  const gone = Effect.gen(function* () {
    const [orphan] = yield* look
    if (orphan === undefined) return
    return yield* new Occupied({ holder: String(orphan.pid) })
  })
  yield* poll(gone, {
    schedule: Schedule.spaced("200 millis"),
    wait: options.wait,
    report: (holder, waited) => options.emit(MigrationEvent.WaitingForOrphan({ pid: Number(holder), waited }))
  }).pipe(
    Effect.catchTag(
      "Occupied",
      ({ holder }) =>
        new MigrationError({
          reason: "LockUnavailable",
          description: `a statement of an earlier run still runs in server process ${holder}, and its client is gone`,
          advice: `wait for it, or end it: SELECT pg_terminate_backend(${holder})`
        })
    )
  )
})

/** Fails unless the lock is still held, as the session that is about to act sees it. */
export const prove = (lock: Lock, session: Session.Session): Effect.Effect<number, SqlError | MigrationError> =>
  session
    .read(
      Schema.Struct({ pid: Schema.Int, held: Schema.Boolean }),
      `SELECT pg_catalog.pg_backend_pid() AS pid, ${lock.isHeld} AS held`
    )
    .pipe(
      Effect.map((rows) => Option.fromNullable(rows[0])),
      Effect.flatMap(
        Option.match({
          onNone: () => Effect.fail(lost()),
          onSome: ({ held, pid }) => (held ? Effect.succeed(pid) : Effect.fail(lost()))
        })
      )
    )
