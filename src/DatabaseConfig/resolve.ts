/**
 * Puts the settings together: program, URL, variables, service file and defaults, in this order.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { DatabaseConfigError } from "./DatabaseConfigError.ts"
import * as files from "./files.ts"
import { poolOf, readerOf, readParts, readPool, readRouter, routerOf } from "./groups.ts"
import type { Entry, Settings } from "./model.ts"
import type { Profile } from "./profile.ts"
import { profiles } from "./profile.ts"
import type { Resolved, Source, Variables } from "./sources.ts"
import * as sources from "./sources.ts"
import { didYouMean } from "./suggest.ts"
import type { Named, TableOptions } from "./table.ts"
import { table } from "./table.ts"
import type { Surroundings } from "./target.ts"
import { resolveTarget } from "./target.ts"
import { describeTls } from "./tls.ts"
import type { Keywords } from "./url.ts"
import { keywordsOfUrl } from "./url.ts"

const named: ReadonlyArray<readonly [option: string, named: Named]> = Object.entries(table)

const knownKeywords: ReadonlySet<string> = new Set(named.flatMap(([, { libpq }]) => (libpq ? [libpq.keyword] : [])))

/** Keywords of libpq that change nothing here: the driver always speaks UTF-8 and has no GSSAPI. */
const withoutEffect: ReadonlySet<string> = new Set([
  "client_encoding",
  "fallback_application_name",
  "gssencmode",
  "gsslib",
  "keepalives",
  "keepalives_count",
  "keepalives_idle",
  "keepalives_interval",
  "krbsrvname",
  "sslcompression",
  "sslsni",
  "tcp_user_timeout"
])

const refuseUnknownOptions = (options: TableOptions) => {
  const unknown = Object.keys(options).find((option) => !Object.hasOwn(table, option))
  return unknown === undefined
    ? Effect.void
    : new DatabaseConfigError({
        reason: "UnknownName",
        option: unknown,
        description: `there is no such option${didYouMean(unknown, Object.keys(table))}`
      })
}

const refuseUnknownKeywords = (option: string, source: string, keywords: Keywords) => {
  const unknown = [...keywords.keys()].find((keyword) => !knownKeywords.has(keyword) && !withoutEffect.has(keyword))
  return unknown === undefined
    ? Effect.succeed(keywords)
    : new DatabaseConfigError({
        reason: "UnknownName",
        option,
        source,
        description: `there is no parameter ${unknown}${didYouMean(unknown, knownKeywords)}`
      })
}

const readUrl = (option: string, source: string, url: Redacted.Redacted<string>) =>
  keywordsOfUrl(Redacted.value(url)).pipe(
    Effect.mapError((description) => new DatabaseConfigError({ reason: "InvalidValue", option, source, description })),
    Effect.flatMap((keywords) => refuseUnknownKeywords(option, source, keywords))
  )

const readService = Effect.fnUntraced(function* (service: Resolved<string | undefined>, variables: Variables) {
  if (service.value === undefined) return undefined
  const home = variables.get("HOME")
  const path = variables.get("PGSERVICEFILE") ?? (home === undefined ? undefined : `${home}/.pg_service.conf`)
  if (path === undefined) {
    return yield* new DatabaseConfigError({
      reason: "FileUnreadable",
      option: "service",
      source: service.source,
      description: "neither PGSERVICEFILE nor HOME says where the service file is"
    })
  }
  const keywords = files.serviceIn(yield* files.readFile("service", service.source, path), service.value)
  if (keywords === undefined) {
    return yield* new DatabaseConfigError({
      reason: "InvalidValue",
      option: "service",
      source: service.source,
      description: `${path} has no section [${service.value}]`
    })
  }
  return sources.keywords(yield* refuseUnknownKeywords("service", path, keywords), `${path} [${service.value}]`)
})

/** NODE_ENV is set by others, for other purposes: a word of it that is no profile means nothing. */
const profileOf = (options: TableOptions, variables: Variables) =>
  sources
    .read("profile", table.profile, options.profile, ["explicit", sources.ownVariables(variables)], "development")
    .pipe(
      Effect.map((resolved): Resolved<Profile> => {
        const fromNode = profiles.find((profile) => profile === variables.get("NODE_ENV"))
        if (!resolved.isDefault) return resolved
        return fromNode === undefined
          ? { ...resolved, source: "default" }
          : { value: fromNode, shown: fromNode, source: "NODE_ENV", isDefault: false }
      })
    )

const entriesOf = (resolved: Readonly<Record<string, Resolved<unknown>>>): ReadonlyArray<Entry> =>
  named.flatMap(([option, { libpq, variable }]) => {
    const one = resolved[option]
    return one === undefined
      ? []
      : [{ option, variable: variable ?? libpq?.variable ?? "", value: one.shown, source: one.source }]
  })

/** What the operating system would tell libpq. */
const surroundingsOf = (variables: Variables): Surroundings => {
  const home = variables.get("HOME")
  const appData = variables.get("APPDATA")
  return {
    user: variables.get("USER") ?? variables.get("USERNAME"),
    passfile:
      appData !== undefined ? `${appData}\\postgresql\\pgpass.conf` : home === undefined ? undefined : `${home}/.pgpass`
  }
}

/** A replica's own URL comes first; where it is silent the primary's sources speak, except about where it is. */
const replicaSources = (own: Source, ownKeywords: Keywords, primary: ReadonlyArray<Source>): ReadonlyArray<Source> => {
  const inherits = ({ libpq }: Named): boolean =>
    libpq?.keyword !== "host" &&
    libpq?.keyword !== "port" &&
    // Another user's password is not the primary's.
    !(libpq?.keyword === "password" && ownKeywords.has("user"))
  return [
    own,
    ...primary.map((source): Source =>
      source === "explicit" ? source : (definition) => (inherits(definition) ? source(definition) : undefined)
    )
  ]
}

const resolveReplica = Effect.fnUntraced(function* (
  url: Redacted.Redacted<string>,
  label: string,
  context: {
    readonly options: TableOptions
    readonly primary: ReadonlyArray<Source>
    readonly profile: Profile
    readonly surroundings: Surroundings
  }
) {
  const keywords = yield* readUrl("replicaUrls", label, url)
  if (!keywords.has("host")) {
    return yield* new DatabaseConfigError({
      reason: "InvalidValue",
      option: "replicaUrls",
      source: label,
      description: "it names no host"
    })
  }
  const { password, ...others } = context.options
  const explicit = { ...others, host: undefined, port: undefined }
  const read = readerOf(replicaSources(sources.keywords(keywords, label), keywords, context.primary), context.profile)
  const parts = yield* readParts(read, keywords.has("user") ? explicit : { ...explicit, password })
  return (yield* resolveTarget(parts, context.surroundings)).target
})

/** The settings. Without variables nothing but the program's own values is looked at. */
export const resolve = Effect.fnUntraced(function* (options: TableOptions, variables: Variables) {
  yield* refuseUnknownOptions(options)
  const profile = yield* profileOf(options, variables)
  const own = sources.ownVariables(variables)
  const read = readerOf(["explicit", own], profile.value)
  const url = yield* read("url", table.url, options.url)
  const replicaUrls = yield* read("replicaUrls", table.replicaUrls, options.replicaUrls)

  const urlKeywords = url.value === undefined ? new Map<string, string>() : yield* readUrl("url", url.source, url.value)
  const urlSource = sources.keywords(urlKeywords, url.source === "option" ? "url" : url.source)
  const libpq = sources.libpqVariables(variables)
  const outer: ReadonlyArray<Source> = ["explicit", urlSource, own, libpq]
  const service = yield* readerOf(outer, profile.value)("service", table.service, options.service)
  const serviceSource = yield* readService(service, variables)
  // As in libpq, a service file stands between the URL and libpq's variables.
  const list: ReadonlyArray<Source> =
    serviceSource === undefined ? outer : ["explicit", urlSource, own, serviceSource, libpq]

  const surroundings = surroundingsOf(variables)
  const readAll = readerOf(list, profile.value)
  const parts = yield* readParts(readAll, options)
  const primary = yield* resolveTarget(parts, surroundings)
  const replicas = yield* Effect.forEach(replicaUrls.value, (replica, index) =>
    resolveReplica(replica, `${replicaUrls.source === "option" ? "replicaUrls" : replicaUrls.source} ${index + 1}`, {
      options,
      primary: list,
      profile: profile.value,
      surroundings
    })
  )
  const pool = yield* readPool(readAll, options)
  const router = yield* readRouter(readAll, options)
  const monitorInterval = yield* readAll("monitorInterval", table.monitorInterval, options.monitorInterval)

  const { target } = primary
  return {
    profile: profile.value,
    primary: target,
    replicas,
    hasTarget: !url.isDefault || !parts.host.isDefault,
    pool: poolOf(pool, target.connectTimeout),
    router: routerOf(router),
    monitor: { interval: monitorInterval.value },
    entries: entriesOf({
      profile,
      url,
      replicaUrls,
      service,
      ...parts,
      database: { ...parts.database, shown: target.database },
      username: { ...parts.username, shown: target.username },
      password: {
        ...parts.password,
        shown: table.password.show(target.password),
        source: primary.passwordSource ?? parts.password.source
      },
      ssl: { ...parts.ssl, shown: `${parts.ssl.shown}: ${describeTls(target.ssl)}` },
      ...pool,
      ...router,
      monitorInterval
    })
  } satisfies Settings
})
