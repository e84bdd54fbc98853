/**
 * One server of a cluster and everything that can be done to it, the unkind things included.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as ControlSession from "./ControlSession.ts"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import type { Password } from "./Endpoint.ts"
import * as Endpoint from "./Endpoint.ts"
import * as PostmasterFile from "./PostmasterFile.ts"
import * as Server from "./Server.ts"
import * as Settings from "./ServerSettings.ts"
import * as Standby from "./Standby.ts"
import * as Streaming from "./Streaming.ts"

/**
 * One PostgreSQL server. Every operation waits until what it promises is true.
 *
 * @since 0.1.0
 * @category models
 */
export interface Node {
  /** `primary`, `replica-1`, ..: what it was at the start, and its `application_name` in `pg_stat_replication`. */
  readonly name: string
  /** The superuser's URL of the database `postgres`. */
  readonly url: Redacted.Redacted
  readonly host: "127.0.0.1"
  /** The same for the whole life of the cluster. */
  readonly port: number
  readonly dataDirectory: string
  readonly logFile: string
  /** The postmaster's process, if the server runs. */
  readonly pid: Effect.Effect<Option.Option<number>>
  /** Pauses the replay of WAL on a standby: it goes on receiving and answers from the past. */
  readonly pause: Effect.Effect<void, EmbeddedPostgresError>
  /** Resumes the replay. */
  readonly resume: Effect.Effect<void, EmbeddedPostgresError>
  /** Makes a standby replay every commit this much later; zero ends it. */
  readonly delay: (delay: Duration.DurationInput) => Effect.Effect<void, EmbeddedPostgresError>
  /** SIGSTOP for the postmaster and every backend: connections stay open and nothing answers. */
  readonly freeze: Effect.Effect<void, EmbeddedPostgresError>
  /** SIGCONT: what was sent meanwhile is answered. */
  readonly thaw: Effect.Effect<void, EmbeddedPostgresError>
  /** SIGKILL for the postmaster and every backend, as a power cut would. */
  readonly kill: Effect.Effect<void, EmbeddedPostgresError>
  /** Fast shutdown; nothing when it does not run. */
  readonly stop: Effect.Effect<void, EmbeddedPostgresError>
  /** Starts it as what it was: after a failover an old primary comes back as a second primary. */
  readonly start: Effect.Effect<void, EmbeddedPostgresError>
  readonly restart: Effect.Effect<void, EmbeddedPostgresError>
  /** Makes a standby a primary that takes writes. The other nodes do not follow by themselves: `rejoin` them. */
  readonly promote: Effect.Effect<void, EmbeddedPostgresError>
  /** Makes it a streaming standby of the current primary, by a new copy where its own history has diverged. */
  readonly rejoin: Effect.Effect<void, EmbeddedPostgresError>
}

// The servers live in real time, also where a test has replaced the clock.
const clock = Clock.make()

/** Runs the effect in real time. */
export const inRealTime: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.withClock(clock)

const Nothing = Schema.Struct({})
const Promoted = Schema.Struct({ promoted: Schema.Boolean })

const query = <A, I>(node: Node, operation: string, schema: Schema.Schema<A, I>, statement: string) =>
  Effect.scoped(Effect.flatMap(ControlSession.open(node, operation), (session) => session.rows(schema, statement)))

// An old primary that came back is on a lower timeline than the one that took over.
const currentPrimary = (nodes: ReadonlyArray<Node>) =>
  Effect.gen(function* () {
    const roles = yield* Effect.forEach(
      nodes,
      (node) =>
        Streaming.writtenTimeline(node, "rejoin").pipe(
          Effect.map((timeline) => ({ node, timeline })),
          Effect.timeout("2 seconds"),
          Effect.orElseSucceed(() => ({ node, timeline: 0 }))
        ),
      { concurrency: "unbounded" }
    )
    const newest = roles.reduce((a, b) => (b.timeline > a.timeline ? b : a), { node: nodes[0], timeline: 0 })
    if (newest.node !== undefined && newest.timeline > 0) return newest.node
    return yield* new EmbeddedPostgresError({
      reason: "NoPrimary",
      operation: "rejoin",
      description: `none of ${nodes.map((node) => node.name).join(", ")} takes writes`
    })
  })

/** Makes the handle of a server that listens on `port`. `peers` are the nodes of its cluster, itself included. */
export const make = (
  server: Server.Server,
  port: number,
  password: Password,
  peers: () => ReadonlyArray<Node>
): Effect.Effect<Node, never, FileSystem.FileSystem> =>
  Effect.map(Effect.context<FileSystem.FileSystem>(), (context) => {
    const operate = <A, E>(name: string, effect: Effect.Effect<A, E, FileSystem.FileSystem>): Effect.Effect<A, E> =>
      effect.pipe(
        inRealTime,
        Effect.provide(context),
        Effect.withSpan(`EmbeddedPostgres.${name}`, { attributes: { "plinth.node": server.name } })
      )
    // A port stays taken for a moment after its server has ended.
    const start = Server.start(server, port).pipe(
      Effect.retry({
        while: (error) => error.reason === "PortInUse",
        schedule: Schedule.spaced("50 millis").pipe(Schedule.upTo("2 seconds"))
      })
    )
    const node: Node = {
      name: server.name,
      url: Endpoint.url(port, password),
      host: "127.0.0.1",
      port,
      dataDirectory: server.dataDirectory,
      logFile: server.logFile,
      pid: operate(
        "pid",
        Effect.map(
          PostmasterFile.running(server.dataDirectory),
          Option.map((file) => file.pid)
        )
      ),
      pause: Effect.suspend(() =>
        operate("pause", query(node, "pause", Nothing, "select from pg_catalog.pg_wal_replay_pause()"))
      ),
      resume: Effect.suspend(() =>
        operate("resume", query(node, "resume", Nothing, "select from pg_catalog.pg_wal_replay_resume()"))
      ),
      delay: (delay) =>
        operate(
          "delay",
          Effect.gen(function* () {
            const before = yield* Settings.readNode(server.dataDirectory)
            yield* Settings.writeNode(server.installation.account, server.dataDirectory, {
              ...before,
              applyDelay: Duration.decode(delay)
            })
            yield* Server.reload(server)
          })
        ),
      freeze: operate("freeze", Server.freeze(server)),
      thaw: operate("thaw", Server.thaw(server)),
      kill: operate("kill", Server.kill(server)),
      stop: operate("stop", Server.stop(server)),
      start: operate("start", start),
      restart: operate("restart", Effect.zipRight(Server.stop(server), start)),
      promote: Effect.suspend(() =>
        operate(
          "promote",
          query(node, "promote", Promoted, "select pg_catalog.pg_promote(true, 30) as promoted").pipe(
            Effect.filterOrFail(
              ([row]) => row?.promoted === true,
              () =>
                new EmbeddedPostgresError({
                  reason: "ControlFailed",
                  operation: "promote",
                  node: server.name,
                  description: "the standby did not end its recovery within 30 seconds"
                })
            )
          )
        )
      ),
      rejoin: Effect.suspend(() =>
        operate(
          "rejoin",
          Effect.gen(function* () {
            const primary = yield* currentPrimary(peers().filter((peer) => peer !== node))
            const before = yield* Effect.option(Settings.readNode(server.dataDirectory))
            const applyDelay = Option.match(before, { onNone: () => Duration.zero, onSome: (self) => self.applyDelay })
            yield* Standby.rejoin({ server, port, applyDelay, primary, password })
          })
        )
      )
    }
    return node
  })
