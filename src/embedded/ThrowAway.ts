/**
 * A cluster that lives as long as its scope: copies of the template in a temporary directory, without fsync.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { join } from "node:path"
import type { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import type { Password } from "./Endpoint.ts"
import type { Installation } from "./Installation.ts"
import type { Node } from "./Node.ts"
import * as Nodes from "./Node.ts"
import * as Primary from "./Primary.ts"
import { copyTree } from "./Program.ts"
import * as Server from "./Server.ts"
import * as Settings from "./ServerSettings.ts"
import * as Standby from "./Standby.ts"
import { awaitStreaming } from "./Streaming.ts"
import * as Template from "./Template.ts"
import * as TemporaryDirectory from "./TemporaryDirectory.ts"
import { addServer, watch } from "./Watchdog.ts"

export interface Cluster {
  readonly directory: string
  readonly primary: Node
  readonly replicas: ReadonlyArray<Node>
}

/** Starts a primary and `replicas` streaming replicas. All is gone when the scope closes. */
export const make = (
  installation: Installation,
  options: {
    readonly replicas: number
    readonly applyDelay: Duration.Duration
    readonly settings: Settings.Settings
    readonly startTimeout: Duration.Duration
  }
): Effect.Effect<Cluster, EmbeddedPostgresError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const { account, watchdog } = installation
    const settings = Settings.common(installation.binaries, false, options.settings)
    const directory = yield* TemporaryDirectory.makeForServers(watchdog, account)

    // The server is stopped before its directory goes: finalizers run in reverse.
    const prepare = (name: string) =>
      Effect.gen(function* () {
        const server: Server.Server = {
          name,
          dataDirectory: join(directory, name),
          logFile: join(directory, `${name}.log`),
          installation,
          startTimeout: options.startTimeout
        }
        yield* addServer(watchdog, server.dataDirectory)
        yield* Effect.addFinalizer(() => Nodes.inRealTime(Effect.ignoreLogged(Server.stop(server))))
        return server
      })

    const copyTemplate = (servers: ReadonlyArray<Server.Server>) =>
      Effect.gen(function* () {
        const template = yield* Template.get(installation, settings)
        yield* Effect.forEach(
          servers,
          (server) =>
            Server.removeDirectory(server.dataDirectory).pipe(
              Effect.zipRight(copyTree(template, server.dataDirectory, { onStart: watch(watchdog) })),
              Effect.zipRight(Settings.write(account, server.dataDirectory, settings))
            ),
          { concurrency: 4, discard: true }
        )
        return template
      })

    const primaryServer = yield* prepare("primary")
    const replicaServers = yield* Effect.forEach(
      Array.from({ length: options.replicas }, (_, index) => `replica-${index + 1}`),
      prepare
    )
    const servers = [primaryServer, ...replicaServers]
    const primaryPort = yield* Effect.flatMap(copyTemplate(servers), (template) =>
      // A damaged template must not make every later start fail: it is made again, once.
      Effect.catchIf(
        Primary.start(primaryServer),
        (error) => error.reason === "StartFailed",
        (error) =>
          Effect.if(Template.discardDamaged(template), {
            onTrue: () => Effect.zipRight(copyTemplate(servers), Primary.start(primaryServer)),
            onFalse: () => Effect.fail(error)
          })
      )
    )

    const nodes: Array<Node> = []
    const password: Password = Option.none()
    const primary = yield* Nodes.make(primaryServer, primaryPort, password, () => nodes)
    const replicas = yield* Effect.forEach(
      replicaServers,
      (server) =>
        Server.startOnFreePort((port) =>
          Standby.start({ server, port, applyDelay: options.applyDelay, primary, password })
        ).pipe(Effect.flatMap((port) => Nodes.make(server, port, password, () => nodes))),
      { concurrency: 4 }
    )
    nodes.push(primary, ...replicas)
    yield* awaitStreaming(
      primary,
      replicas.map((node) => node.name),
      options.startTimeout
    )
    return { directory, primary, replicas }
  })
