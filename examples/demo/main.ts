/**
 * The whole of Plinth in a minute, on a real primary with two replicas that are started for the occasion and gone
 * afterwards. Exits with 1 when a promise is broken.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { fileURLToPath } from "node:url"
import { Backup, Database, DatabaseConfig, HealthMonitor, Migrator, QueryRouter, SqlText } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { fingerprints } from "./compare.ts"
import { endWithNpm, watchSignals } from "./ending.ts"
import * as Stories from "./story.ts"
import { Story, timed } from "./story.ts"
import { traffic } from "./traffic.ts"

const folder = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))

/** A shorter demo for tests: less traffic, and seeds of their own. */
const trafficSeconds = Config.withDefault(Config.number("DEMO_TRAFFIC_SECONDS"), 10)
const seedsFolder = Config.withDefault(Config.string("DEMO_SEEDS"), folder("seeds"))

const migrate = Effect.gen(function* () {
  const { say } = yield* Story
  const migrator = yield* Migrator.Migrator
  const ran = yield* timed(migrator.up(), (ran) => `Applied ${ran.length} migrations`)
  yield* say(`They are ${ran.map(({ name }) => name).join(", ")}.`)
  const again = yield* migrator.up()
  yield* (yield* Story).promise("a second run finds nothing to do", again.length === 0)
})

const seed = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const sql = yield* SqlClient.SqlClient
  const seeds = yield* seedsFolder
  const files = (yield* fs.readDirectory(seeds)).filter((name) => name.endsWith(".sql")).sort()
  yield* Effect.forEach(
    files,
    (name) =>
      Effect.flatMap(fs.readFileString(path.join(seeds, name)), (text) =>
        sql.withTransaction(
          Effect.forEach(SqlText.statements(text), (statement) => sql.unsafe(statement.text), { discard: true })
        )
      ),
    { discard: true }
  )
  const [row] = yield* sql<{ orders: number; lines: number }>`
    SELECT (SELECT count(*)::int FROM orders) AS orders, (SELECT count(*)::int FROM order_lines) AS lines`
  return row ?? { orders: 0, lines: 0 }
})

const work = Effect.gen(function* () {
  const { promise, say, table } = yield* Story
  const { replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
  const router = yield* QueryRouter.QueryRouter
  const duration = Duration.seconds(yield* trafficSeconds)
  const [victim] = replicas
  if (victim === undefined) return yield* Effect.dieMessage("the demo needs a replica")

  const running = yield* Effect.fork(traffic(duration))
  yield* Effect.sleep(Duration.times(duration, 0.3))
  yield* victim.kill
  yield* say(
    `After ${Duration.toSeconds(duration) * 0.3} s replica ${victim.port} was killed (SIGKILL to the whole server).`
  )
  const served = Effect.map(router.decisions, (decisions) =>
    decisions.reduce((sum, { count, node }) => sum + (node.includes(`:${victim.port}/`) ? count : 0), 0)
  )
  yield* Effect.sleep(Duration.times(duration, 0.2))
  const before = yield* served
  yield* victim.start
  yield* say(`After ${Duration.toSeconds(duration) * 0.5} s it was started again.`)
  const tally = yield* Fiber.join(running)
  const sql = yield* SqlClient.SqlClient
  const servesAgain = yield* Effect.zipRight(QueryRouter.session(sql`SELECT 1`), served).pipe(
    Effect.repeat({ until: (count) => count > before, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutOption("20 seconds")
  )

  yield* say("Who served what, and why:")
  const decisions = [...(yield* router.decisions)].sort((a, b) => b.count - a.count)
  yield* table([["node", "statements", "reason"], ...decisions.map(({ count, node, reason }) => [node, count, reason])])
  yield* say(
    `${tally.orders} orders were placed and read back, ${tally.reports} reports and ${tally.snapshots} read-only transactions ran.`
  )
  for (const failure of new Set(tally.failures)) yield* say(`failed: ${failure}`)
  yield* promise("no statement failed while a replica died and came back", tally.failures.length === 0)
  yield* promise(
    `each of ${tally.ownReads} customers saw the order just placed`,
    tally.stale === 0 && tally.ownReads > 0
  )
  yield* promise("the replica serves reads again", Option.isSome(servesAgain))
})

const health = Effect.gen(function* () {
  const { promise, say } = yield* Story
  const monitor = yield* HealthMonitor.HealthMonitor
  const report = yield* monitor.check({ tier: "fast" }).pipe(
    // The replica that came back may still be catching up.
    Effect.repeat({
      until: (report) => HealthMonitor.exitCode(report) !== 2,
      schedule: Schedule.spaced("500 millis").pipe(Schedule.upTo("10 seconds"))
    }),
    Effect.flatMap(() => monitor.check({ tier: "fast" }))
  )
  for (const line of HealthMonitor.renderText(report, { verbose: true }).split("\n")) yield* say(line)
  yield* promise("nothing is critical", HealthMonitor.exitCode(report) !== 2)
})

const backUpAndRestore = Effect.gen(function* () {
  const { promise, say } = yield* Story
  const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
  const path = yield* Path.Path
  const source = yield* DatabaseConfig.parseUrl(url)
  const scratch = yield* EmbeddedPostgres.temporaryDirectory
  const backup = Context.get(
    yield* Layer.build(Backup.layer({ source, directory: path.join(scratch, "backups") })),
    Backup.Backup
  )
  const { label } = yield* timed(backup.create(), ({ label }) => `Made the physical backup ${label}`)
  const verification = yield* timed(backup.verify(label), ({ files }) => `Read ${files} files back and hashed them`)
  yield* promise("every byte of the backup is what PostgreSQL sent", verification.ok)
  const directory = path.join(scratch, "restored")
  yield* timed(backup.restore(label, { directory }), () => "Restored it into a new data directory")
  const restored = yield* timed(
    EmbeddedPostgres.startExisting(directory),
    ({ port }) => `Started that as a second server on port ${port}`
  )

  const live = yield* fingerprints(yield* SqlClient.SqlClient)
  const copy = yield* fingerprints(
    Context.get(
      yield* Layer.build(Database.layer({ url: restored.url, health: { background: false } })),
      SqlClient.SqlClient
    )
  )
  yield* say(`Compared ${live.length} tables with ${live.reduce((sum, { rows }) => sum + rows, 0)} rows, row by row.`)
  yield* promise(
    "the restored server holds the same rows",
    live.length > 0 && JSON.stringify(live) === JSON.stringify(copy)
  )
}).pipe(Effect.scoped)

const stack = Layer.unwrapEffect(
  Effect.map(EmbeddedPostgres.EmbeddedPostgres, ({ replicaUrls, url }) =>
    Migrator.layer({ source: Migrator.fromFolder(folder("migrations")), onEvent: () => Effect.void }).pipe(
      Layer.provideMerge(Database.layer({ url, replicaUrls, health: { background: false } }))
    )
  )
)

/** One promise or more was broken. */
class Broken extends Error {}

const demo = Effect.gen(function* () {
  const { broken, chapter, say } = yield* Story
  yield* chapter("Migrate")
  yield* migrate
  yield* chapter("Seed")
  yield* timed(seed, ({ lines, orders }) => `Made ${orders} orders with ${lines} lines`)
  yield* chapter("Work, and lose a replica")
  yield* work
  yield* chapter("Look at the health of it all")
  yield* health
  yield* chapter("Back up, verify, restore, compare")
  yield* backUpAndRestore
  const list = yield* broken
  yield* chapter(list.length === 0 ? "Every promise was kept." : `${list.length} promises were broken.`)
  yield* say(list.length === 0 ? "The servers stop now, and nothing is left behind." : list.join("; "))
  if (list.length > 0) return yield* Effect.fail(new Broken())
})

const program = Effect.gen(function* () {
  const { chapter, say } = yield* Story
  yield* chapter("Start a primary and two replicas")
  const cluster = yield* Layer.build(EmbeddedPostgres.layer({ replicas: 2 })).pipe(
    Effect.timed,
    Effect.flatMap(([took, context]) =>
      Effect.as(say(`PostgreSQL from npm, streaming replication, ready in ${Stories.seconds(took)}.`), context)
    )
  )
  const { primary, replicas } = Context.get(cluster, EmbeddedPostgres.EmbeddedPostgres)
  yield* say(`Primary on port ${primary.port}, replicas on ${replicas.map(({ port }) => port).join(" and ")}.`)
  yield* demo.pipe(Effect.provide(stack), Effect.provide(cluster))
}).pipe(Effect.scoped)

program.pipe(
  Effect.tapErrorCause((cause) =>
    Cause.isInterruptedOnly(cause) || Cause.squash(cause) instanceof Broken
      ? Effect.void
      : Effect.logError("The demo could not go on", cause)
  ),
  Effect.provide(Layer.mergeAll(Stories.layer, NodeContext.layer, Logger.minimumLogLevel(LogLevel.Error))),
  (ends) => Effect.zipRight(Effect.fork(endWithNpm), ends),
  NodeRuntime.runMain({ teardown: watchSignals(), disableErrorReporting: true })
)
