/**
 * A cluster that a person keeps in a directory: durable, with a password, and shared by all processes that open it. The
 * last one to leave stops the servers.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { join, resolve } from "node:path"
import * as ClusterLock from "./ClusterLock.ts"
import * as ControlFile from "./ControlFile.ts"
import type { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import { fromPlatform } from "./EmbeddedPostgresError.ts"
import type { Password } from "./Endpoint.ts"
import type { Installation } from "./Installation.ts"
import type { Node } from "./Node.ts"
import * as Nodes from "./Node.ts"
import * as Directory from "./PersistentDirectory.ts"
import * as PostmasterFile from "./PostmasterFile.ts"
import * as Primary from "./Primary.ts"
import * as Server from "./Server.ts"
import * as Settings from "./ServerSettings.ts"
import * as Standby from "./Standby.ts"
import * as Template from "./Template.ts"
import * as TemporaryDirectory from "./TemporaryDirectory.ts"
import type { Cluster } from "./ThrowAway.ts"
import { addServer } from "./Watchdog.ts"

interface Options {
  readonly directory: string
  readonly replicas: number
  readonly applyDelay: Duration.Duration
  readonly settings: Settings.Settings
  readonly startTimeout: Duration.Duration
}

// `initdb` works on a directory beside, so that a cluster is there whole or not at all.
const initialize = (installation: Installation, nodes: string, password: Redacted.Redacted) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const building = yield* TemporaryDirectory.make(installation.watchdog, nodes, "building")
    // Where the account can read it: it may not be able to enter the cluster's directory.
    const passwordFile = join(
      yield* TemporaryDirectory.makeForServers(installation.watchdog, installation.account),
      "password"
    )
    yield* Settings.replaceFile(installation.account, passwordFile, Redacted.value(password))
    const data = join(building, "data")
    yield* Template.makeDataDirectory(installation, data)
    yield* Template.initialize(installation, data, ["--auth=scram-sha-256", `--pwfile=${passwordFile}`])
    yield* fs.rename(data, join(nodes, "primary"))
  }).pipe(Effect.scoped, Effect.mapError(fromPlatform("make the cluster")))

// After a failover two nodes may think that they are the primary; the later timeline is the one that went on.
const choosePrimary = (nodes: string, names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const writers = yield* Effect.filter(names, (name) => Effect.negate(Standby.isStandby(join(nodes, name))))
    const timelines = yield* Effect.forEach(writers, (name) =>
      Effect.map(ControlFile.timeline(join(nodes, name)), (timeline) => ({ name, timeline }))
    )
    return timelines.reduce((a, b) => (b.timeline > a.timeline ? b : a), { name: "primary", timeline: 0 }).name
  })

const startedPort = (server: Server.Server) =>
  Effect.map(
    PostmasterFile.running(server.dataDirectory),
    Option.filterMap((file) => (file.status === "ready" ? Option.some(file.port) : Option.none()))
  )

const recordedPort = (server: Server.Server) =>
  Effect.map(
    Effect.option(Settings.readNode(server.dataDirectory)),
    Option.map((node) => node.port)
  )

const assemble = (
  installation: Installation,
  directory: string,
  options: Options
): Effect.Effect<Cluster, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const { account, watchdog } = installation
    const secret = yield* Directory.password(directory)
    const password: Password = Option.some(secret)
    const nodesDirectory = yield* Directory.nodes(directory)
    if ((yield* Directory.existing(installation, nodesDirectory)).length === 0) {
      yield* initialize(installation, nodesDirectory, secret)
    }
    const names = yield* Directory.existing(installation, nodesDirectory)
    const settings = Settings.common(installation.binaries, true, options.settings)
    const describe = (name: string): Effect.Effect<Server.Server> => {
      const dataDirectory = join(nodesDirectory, name)
      return Effect.as(addServer(watchdog, dataDirectory), {
        name,
        dataDirectory,
        logFile: join(directory, `${name}.log`),
        installation,
        startTimeout: options.startTimeout
      })
    }

    const startPrimary = (server: Server.Server) =>
      Effect.gen(function* () {
        yield* Settings.write(account, server.dataDirectory, settings)
        return yield* Primary.start(server, yield* recordedPort(server))
      })
    const running = <R>(server: Server.Server, start: Effect.Effect<number, EmbeddedPostgresError, R>) =>
      Effect.flatMap(startedPort(server), Option.match({ onNone: () => start, onSome: Effect.succeed }))

    const primaryServer = yield* describe(yield* choosePrimary(nodesDirectory, names))
    const nodes: Array<Node> = []
    const primaryPort = yield* running(primaryServer, startPrimary(primaryServer))
    const primary = yield* Nodes.make(primaryServer, primaryPort, password, () => nodes)

    const startReplica = (server: Server.Server) =>
      Effect.gen(function* () {
        const exists = names.includes(server.name)
        if (exists) yield* Settings.write(account, server.dataDirectory, settings)
        const follow = exists ? Standby.rejoin : Standby.recreate
        return yield* Server.startOnFreePort(
          (port) => follow({ server, port, applyDelay: options.applyDelay, primary, password }),
          yield* recordedPort(server)
        )
      })
    const replicaNames = ["primary", ...Array.from({ length: options.replicas + 1 }, (_, i) => `replica-${i + 1}`)]
    const replicas = yield* Effect.forEach(
      replicaNames.filter((name) => name !== primaryServer.name).slice(0, options.replicas),
      (name) =>
        Effect.gen(function* () {
          const server = yield* describe(name)
          const port = yield* running(server, startReplica(server))
          return yield* Nodes.make(server, port, password, () => nodes)
        }),
      { concurrency: 4 }
    )
    nodes.push(primary, ...replicas)
    return { directory: nodesDirectory, primary, replicas }
  })

const stopAll = (installation: Installation, directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const nodes = yield* Directory.nodes(directory)
    yield* Effect.forEach(
      yield* fs.readDirectory(nodes),
      (name) =>
        Server.stop({
          name,
          dataDirectory: join(nodes, name),
          logFile: join(directory, `${name}.log`),
          installation,
          startTimeout: Duration.zero
        }),
      { concurrency: "unbounded", discard: true }
    )
  }).pipe(Effect.ignoreLogged)

/** Opens the cluster in the directory: made, started or joined, whichever is needed. */
export const open = (
  installation: Installation,
  options: Options
): Effect.Effect<Cluster, EmbeddedPostgresError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const directory = resolve(options.directory)
    yield* Directory.prepare(directory)
    const identity = yield* ClusterLock.makeIdentity
    const locked = <A, R>(effect: Effect.Effect<A, EmbeddedPostgresError, R>) =>
      ClusterLock.withLock(directory, identity, options.startTimeout, effect)
    const quit = Effect.flatMap(ClusterLock.leave(directory, identity), (last) =>
      last ? stopAll(installation, directory) : Effect.void
    )
    yield* Effect.acquireRelease(
      Effect.zipRight(
        ClusterLock.enter(directory, identity),
        Effect.sync(() =>
          installation.watchdog.update((duties) => ({
            ...duties,
            membership: { entry: ClusterLock.entry(directory, identity), lock: ClusterLock.lockFile(directory) }
          }))
        )
      ),
      // Whoever holds the lock for so long is a user too: only our own entry has to go.
      () =>
        locked(quit).pipe(
          Effect.catchIf(
            (error) => error.reason === "InUse",
            () => ClusterLock.leave(directory, identity)
          ),
          Effect.ignoreLogged,
          Nodes.inRealTime
        )
    )
    return yield* locked(assemble(installation, directory, options))
  })
