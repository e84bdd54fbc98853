/**
 * Every option, described once: parsing, defaults, `plinth config` and the documentation read this table.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as define from "./definition.ts"
import type { Definition } from "./definition.ts"
import type { Profile } from "./profile.ts"
import { profiles } from "./profile.ts"
import * as tls from "./tls.ts"
import { maskUrl } from "./url.ts"

/** A password that is known, or one that is asked for (rotation, IAM tokens). */
export type Password = Redacted.Redacted<string> | Effect.Effect<Redacted.Redacted<string>, unknown>

const redacted = (input: string | Redacted.Redacted<string>): Redacted.Redacted<string> =>
  Redacted.isRedacted(input) ? input : Redacted.make(input)

const isBlank = (input: Redacted.Redacted<string>): boolean => Redacted.value(input).trim().length === 0

const url: Definition<Redacted.Redacted<string> | undefined, string | Redacted.Redacted<string>> = {
  doc: "Connection URL of the primary; what it does not say comes from the other options.",
  variable: "DATABASE_URL",
  secret: true,
  defaultOf: () => undefined,
  fromInput: (input) => (isBlank(redacted(input)) ? Either.left("it is empty") : Either.right(redacted(input))),
  fromText: (raw) => Either.right(Redacted.make(raw)),
  show: (value) => (value === undefined ? "(not set)" : maskUrl(Redacted.value(value)))
}

const replicaUrls: Definition<
  ReadonlyArray<Redacted.Redacted<string>>,
  ReadonlyArray<string | Redacted.Redacted<string>>
> = {
  doc: "Connection URLs of the replicas; database, user, password and TLS come from the primary where a URL is silent.",
  variable: "DATABASE_REPLICA_URLS",
  secret: true,
  defaultOf: () => [],
  fromInput: (input) => {
    const urls = input.map(redacted)
    const blank = urls.findIndex(isBlank)
    return blank < 0 ? Either.right(urls) : Either.left(`number ${blank + 1} of it is empty`)
  },
  // Only a comma before a scheme separates: a URL may list several hosts.
  fromText: (raw) =>
    Either.right(
      raw
        .split(/,\s*(?=[a-z]+:\/\/)/i)
        .map((part) => Redacted.make(part.trim().replace(/,$/, "")))
        .filter((part) => !isBlank(part))
    ),
  show: (value) => (value.length === 0 ? "(none)" : value.map((one) => maskUrl(Redacted.value(one))).join(", "))
}

const hosts: Definition<ReadonlyArray<string>, string | ReadonlyArray<string>> = {
  doc: "Host name, address or directory of a Unix socket; several are tried in order.",
  variable: "DATABASE_HOST",
  libpq: { keyword: "host", variable: "PGHOST" },
  secret: false,
  defaultOf: () => ["localhost"],
  fromInput: (input) => {
    const list = typeof input === "string" ? [input] : input
    return list.length === 0 || list.some((host) => host.trim().length === 0)
      ? Either.left("a host name is empty")
      : Either.right(list)
  },
  fromText: (raw) => Either.right(raw.split(",").map((host) => (host.trim().length === 0 ? "localhost" : host.trim()))),
  show: (value) => value.join(", ")
}

const port = define.integer({ doc: "", default: 5432, min: 1, max: 65535 })

const ports: Definition<ReadonlyArray<number>, number | ReadonlyArray<number>> = {
  doc: "Port, or one for each host.",
  variable: "DATABASE_PORT",
  libpq: { keyword: "port", variable: "PGPORT" },
  secret: false,
  defaultOf: () => [5432],
  fromInput: (input) => Either.all((typeof input === "number" ? [input] : input).map(port.fromInput)),
  fromText: (raw) =>
    Either.all(raw.split(",").map((part) => (part.trim().length === 0 ? Either.right(5432) : port.fromText(part)))),
  show: (value) => value.join(", ")
}

const password: Definition<Password | undefined, string | Password> = {
  doc: "Password; as an effect it is asked for at every connect.",
  variable: "DATABASE_PASSWORD",
  libpq: { keyword: "password", variable: "PGPASSWORD" },
  secret: true,
  defaultOf: () => undefined,
  fromInput: (input) => Either.right(typeof input === "string" ? Redacted.make(input) : input),
  fromText: (raw) => Either.right(Redacted.make(raw)),
  show: (value) => (value === undefined ? "(not set)" : Effect.isEffect(value) ? "(asked at connect)" : "***")
}

const ssl: Definition<tls.SslMode | tls.TlsOptions, boolean | tls.SslMode | tls.TlsOptions> = {
  ...define.literal({
    doc: "TLS. As in node-postgres, prefer, require and verify-ca verify certificate and host name like verify-full; no-verify only encrypts.",
    variable: "PLINTH_SSLMODE",
    libpq: { keyword: "sslmode", variable: "PGSSLMODE" },
    values: tls.sslModes,
    default: "disable"
  }),
  defaultOf: (profile: Profile) => (profile === "production" ? "verify-full" : "disable"),
  fromInput: (input) => {
    if (typeof input === "boolean") return Either.right(input ? "verify-full" : "disable")
    return typeof input === "string" ? tls.sslModeOfText(input) : Either.right(input)
  },
  fromText: tls.sslModeOfText,
  show: (value) =>
    typeof value === "string" ? value : value.rejectUnauthorized === false ? "no-verify" : "verify-full"
}

/**
 * The order is the order of `plinth config` and of the documentation. Durations in variables name their unit; libpq's
 * own are in seconds, as in libpq.
 */
export const table = {
  profile: define.literal({
    doc: "Where the program runs; sets the defaults of the others. Without it NODE_ENV decides.",
    variable: "PLINTH_PROFILE",
    values: profiles,
    default: "development"
  }),

  url,
  replicaUrls,
  host: hosts,
  port: ports,
  database: define.text({
    doc: "Database; the user's name when not set.",
    variable: "DATABASE_NAME",
    libpq: { keyword: "dbname", variable: "PGDATABASE" },
    default: undefined
  }),
  username: define.text({
    doc: "User; the operating system's user when not set.",
    variable: "DATABASE_USER",
    libpq: { keyword: "user", variable: "PGUSER" },
    default: undefined
  }),
  password,
  passfile: define.text({
    doc: "Password file, read when there is no password; ~/.pgpass when variables are read.",
    libpq: { keyword: "passfile", variable: "PGPASSFILE" },
    default: undefined
  }),
  service: define.text({
    doc: "Section of the service file that fills in what is not set.",
    libpq: { keyword: "service", variable: "PGSERVICE" },
    default: undefined
  }),
  ssl,
  sslLibpq: define.flag({
    doc: "Read sslmode as libpq does: require and prefer encrypt without verifying, verify-ca ignores the host name.",
    libpq: { keyword: "uselibpqcompat" },
    variable: "PLINTH_SSL_LIBPQ",
    default: false
  }),
  sslRootCert: define.text({
    doc: "File with the certificate authorities to trust; system for those of the runtime.",
    variable: "PLINTH_SSLROOTCERT",
    libpq: { keyword: "sslrootcert", variable: "PGSSLROOTCERT" },
    default: undefined
  }),
  sslCert: define.text({
    doc: "File with the client's certificate.",
    variable: "PLINTH_SSLCERT",
    libpq: { keyword: "sslcert", variable: "PGSSLCERT" },
    default: undefined
  }),
  sslKey: define.text({
    doc: "File with the client's private key.",
    variable: "PLINTH_SSLKEY",
    libpq: { keyword: "sslkey", variable: "PGSSLKEY" },
    default: undefined
  }),
  channelBinding: define.literal({
    doc: "SCRAM channel binding over TLS; require refuses a server without it.",
    variable: "PLINTH_CHANNEL_BINDING",
    libpq: { keyword: "channel_binding", variable: "PGCHANNELBINDING" },
    values: ["disable", "prefer", "require"],
    default: "prefer"
  }),
  targetSessionAttrs: define.literal({
    doc: "Which of several hosts is accepted.",
    variable: "PLINTH_TARGET_SESSION_ATTRS",
    libpq: { keyword: "target_session_attrs", variable: "PGTARGETSESSIONATTRS" },
    values: ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"],
    default: "any"
  }),
  loadBalanceHosts: define.literal({
    doc: "Whether several hosts are tried in order (disable) or shuffled (random).",
    variable: "PLINTH_LOAD_BALANCE_HOSTS",
    libpq: { keyword: "load_balance_hosts", variable: "PGLOADBALANCEHOSTS" },
    values: ["disable", "random"],
    default: "disable"
  }),
  applicationName: define.text({
    doc: "What pg_stat_activity shows.",
    variable: "PLINTH_APPLICATION_NAME",
    libpq: { keyword: "application_name", variable: "PGAPPNAME" },
    default: "plinth"
  }),
  options: define.text({
    doc: "Command-line options for the server process, such as -c search_path=app.",
    variable: "PLINTH_OPTIONS",
    libpq: { keyword: "options", variable: "PGOPTIONS" },
    default: undefined
  }),
  connectTimeout: define.duration({
    doc: "How long one connection attempt may take, TLS and authentication included.",
    variable: "PLINTH_CONNECT_TIMEOUT",
    libpq: { keyword: "connect_timeout", variable: "PGCONNECT_TIMEOUT" },
    default: Duration.seconds(5),
    min: Duration.millis(1)
  }),

  minConnections: define.integer({
    doc: "Connections of a pool that are opened at start and kept.",
    variable: "PLINTH_POOL_MIN",
    min: 0,
    default: define.perProfile({ development: 1, test: 1, staging: 2, production: 5 })
  }),
  maxConnections: define.integer({
    doc: "Most connections of a pool, to each node.",
    variable: "PLINTH_POOL_MAX",
    min: 1,
    default: define.perProfile({ development: 5, test: 3, staging: 10, production: 50 })
  }),
  acquireTimeout: define.duration({
    doc: "How long a fiber queues for a connection.",
    variable: "PLINTH_POOL_ACQUIRE_TIMEOUT",
    // A third of HikariCP's connectionTimeout (30 s): a request that waited longer has lost its caller.
    default: Duration.seconds(10),
    min: Duration.millis(1)
  }),
  idleTimeout: define.duration({
    doc: "A connection above the minimum that was idle for this long is closed.",
    variable: "PLINTH_POOL_IDLE_TIMEOUT",
    // Between pg-pool (10 s, reopens at every lull) and HikariCP (10 min) and pgx (30 min).
    default: Duration.minutes(1),
    min: Duration.millis(1)
  }),
  maxLifetime: define.duration({
    doc: "A connection older than this, less up to 10 %, is replaced when it comes back.",
    variable: "PLINTH_POOL_MAX_LIFETIME",
    // HikariCP's maxLifetime; pgx has 1 h.
    default: Duration.minutes(30),
    min: Duration.millis(1)
  }),
  maxWaiting: define.integer({
    doc: "Fibers that may queue for a connection; the next is refused at once.",
    variable: "PLINTH_POOL_MAX_WAITING",
    min: 0,
    default: 10_000
  }),
  validateAfter: define.duration({
    doc: "A connection idle for longer than this is checked before it is handed out.",
    variable: "PLINTH_POOL_VALIDATE_AFTER",
    // pgx pings a connection idle for a second; HikariCP's aliveBypassWindow is 500 ms.
    default: Duration.seconds(1)
  }),
  validateTimeout: define.duration({
    doc: "How long that check may take before the connection is given up.",
    variable: "PLINTH_POOL_VALIDATE_TIMEOUT",
    // A round trip; HikariCP allows 5 s, which is half of our acquire timeout.
    default: Duration.seconds(1),
    min: Duration.millis(1)
  }),
  leakAfter: define.duration({
    doc: "A checkout held for longer than this is reported, once.",
    variable: "PLINTH_POOL_LEAK_AFTER",
    // HikariCP's leakDetectionThreshold is off by default and advised at 30 to 60 s.
    default: Duration.seconds(30),
    min: Duration.millis(1)
  }),
  connectConcurrency: define.integer({
    doc: "Connections that a pool opens at the same time.",
    variable: "PLINTH_POOL_CONNECT_CONCURRENCY",
    min: 1,
    default: 2
  }),
  closeTimeout: define.duration({
    doc: "How long closing waits for connections in use before it cancels them.",
    variable: "PLINTH_POOL_CLOSE_TIMEOUT",
    // A third of the 30 s that Kubernetes gives a terminating pod.
    default: Duration.seconds(10)
  }),
  statementTimeout: define.optionalDuration({
    doc: "statement_timeout of every session.",
    variable: "PLINTH_STATEMENT_TIMEOUT",
    default: undefined,
    min: Duration.millis(1)
  }),
  prepare: define.flag({
    doc: "Named prepared statements.",
    variable: "PLINTH_PREPARE",
    default: true
  }),
  sessionReset: define.literal({
    doc: "What is done to a session that was lent out before another gets it: nothing, or DISCARD ALL (a round trip).",
    variable: "PLINTH_POOL_SESSION_RESET",
    values: ["none", "discard"],
    default: "none"
  }),
  pooler: define.literal({
    doc: "What stands between client and server; pgbouncer means transaction mode: no session state.",
    variable: "PLINTH_POOLER",
    values: ["none", "pgbouncer"],
    default: "none"
  }),

  level: define.literal({
    doc: "Which state a read may see: strong (primary), session (own writes), bounded (maxStaleness), eventual.",
    variable: "PLINTH_ROUTER_LEVEL",
    values: ["strong", "session", "bounded", "eventual"],
    default: "session"
  }),
  maxStaleness: define.duration({
    doc: "How old the state of a bounded read may be.",
    variable: "PLINTH_ROUTER_MAX_STALENESS",
    default: Duration.seconds(1)
  }),
  maxLag: define.duration({
    doc: "A replica further behind than this serves no reads.",
    variable: "PLINTH_ROUTER_MAX_LAG",
    default: Duration.seconds(10)
  }),
  maxLagBytes: define.bytes({
    doc: "A replica further behind than this much WAL serves no reads.",
    variable: "PLINTH_ROUTER_MAX_LAG_BYTES",
    // Four WAL segments of 16 MB.
    default: 4 * 16 * 2 ** 20
  }),
  monitorInterval: define.duration({
    doc: "Time between two samples of a node.",
    variable: "PLINTH_MONITOR_INTERVAL",
    default: Duration.millis(100),
    min: Duration.millis(1)
  })
} as const

/** The name of an option. */
export type OptionName = keyof typeof table

type InputOf<D> = D extends Definition<infer _A, infer I> ? I : never

/** What a program may give for each option. */
export type TableOptions = { readonly [K in OptionName]?: InputOf<(typeof table)[K]> | undefined }

/** Parts of a definition that lookups need, without its types. */
export type Named = Pick<Definition<unknown, never>, "variable" | "libpq">
