import * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import { assert, describe, expect, it } from "@effect/vitest"
import { DatabaseConfig } from "effect-plinth"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { inspect } from "node:util"
import * as reference from "../src/DatabaseConfig/reference.ts"

const { fromEnv, make, nodeName, parseUrl } = DatabaseConfig

type Variables = Readonly<Record<string, string>>

/** Settings from these variables and no others. */
const withVariables = (variables: Variables, options: DatabaseConfig.Options = {}) =>
  fromEnv(options).pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)))))

const passwordOf = (target: DatabaseConfig.ConnectionTarget): string | undefined =>
  Redacted.isRedacted(target.password) ? String(Redacted.value(target.password)) : undefined

const entryOf = (settings: DatabaseConfig.Settings, option: string) =>
  settings.entries.find((entry) => entry.option === option)

/** A file system of these files, of mode 0600 unless the content says otherwise. */
const files = (contents: Readonly<Record<string, string | { readonly text: string; readonly mode: number }>>) => {
  const missing = (path: string) =>
    new PlatformError.SystemError({ reason: "NotFound", module: "FileSystem", method: "read", pathOrDescriptor: path })
  const find = (path: string) => {
    const content = contents[path]
    if (content === undefined) return Effect.fail(missing(path))
    return Effect.succeed(typeof content === "string" ? { text: content, mode: 0o100600 } : content)
  }
  return FileSystem.layerNoop({
    readFileString: (path) => Effect.map(find(path), ({ text }) => text),
    stat: (path) =>
      Effect.map(find(path), ({ mode }): FileSystem.File.Info => ({
        type: "File",
        mode,
        mtime: Option.none(),
        atime: Option.none(),
        birthtime: Option.none(),
        dev: 0,
        ino: Option.none(),
        nlink: Option.none(),
        uid: Option.none(),
        gid: Option.none(),
        rdev: Option.none(),
        size: FileSystem.Size(0),
        blksize: Option.none(),
        blocks: Option.none()
      }))
  })
}

describe("DatabaseConfig", () => {
  describe("parseUrl", () => {
    it.effect("reads every part of a URL and decodes it", () =>
      Effect.gen(function* () {
        const target = yield* parseUrl(
          "postgresql://us%65r:p%40ss%2Fw%23rd@db.example:6543/my%20db?application_name=web&options=-c%20search_path%3Dapp&connect_timeout=3"
        )
        assert.strictEqual(target.username, "user")
        assert.strictEqual(passwordOf(target), "p@ss/w#rd")
        assert.strictEqual(target.host, "db.example")
        assert.strictEqual(target.port, 6543)
        assert.strictEqual(target.database, "my db")
        assert.strictEqual(target.applicationName, "web")
        assert.strictEqual(target.options, "-c search_path=app")
        assert.deepStrictEqual(target.connectTimeout, Duration.seconds(3))
      })
    )

    it.effect("reads several hosts, with ports of their own and target_session_attrs", () =>
      Effect.gen(function* () {
        const target = yield* parseUrl(
          "postgres://u@a:1,b,[::1]:3/d?target_session_attrs=read-write&load_balance_hosts=random"
        )
        assert.strictEqual(nodeName(target), "a:1/d")
        assert.deepStrictEqual(target.alternatives, [
          { host: "b", port: 5432 },
          { host: "::1", port: 3 }
        ])
        assert.strictEqual(target.targetSessionAttrs, "read-write")
        assert.strictEqual(target.loadBalanceHosts, "random")
      })
    )

    it.effect("refuses a statement timeout behind a pooler that would not keep it", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(make({ pooler: "pgbouncer", statementTimeout: "5 seconds" }))
        assert.strictEqual(error.reason, "Conflict")
        assert.include(error.message, "ALTER ROLE")
      })
    )

    it.effect("refuses two ports for three hosts", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(make({ host: ["a", "b", "c"], port: [1, 2] }))
        assert.strictEqual(error.reason, "Conflict")
        assert.strictEqual(error.message, "option port: there are 2 ports for 3 hosts; give one, or one for each")
      })
    )

    it.effect.each([
      ["postgres:///app?host=/var/run/postgresql", "/var/run/postgresql"],
      ["postgres://u@%2Ftmp%2Fsockets/app", "/tmp/sockets"]
    ])("reads the Unix socket of %s and asks for no TLS on it", ([url, directory]) =>
      Effect.gen(function* () {
        const target = yield* parseUrl(url ?? "", { ssl: "verify-full" })
        assert.strictEqual(target.host, directory)
        assert.strictEqual(target.database, "app")
        assert.strictEqual(target.ssl, false)
      })
    )

    it.effect("falls back on the user for the database, as libpq does", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* parseUrl("postgres://ada@h")).database, "ada")
      })
    )

    it.effect("lets options win over the URL", () =>
      Effect.gen(function* () {
        const target = yield* parseUrl("postgres://u:p@h:1/d?sslmode=require", { port: 2, database: "e", ssl: false })
        assert.strictEqual(nodeName(target), "h:2/e")
        assert.strictEqual(target.ssl, false)
      })
    )

    it.effect.each([
      ["mysql://u@h/d", /does not start with postgres/],
      ["postgres://u:p@h:port/d", /host and port cannot be read/],
      ["postgres://h:99999/d", /99999 is not a whole number of 1 to 65535/],
      ["postgres://h/d?sslmod=require", /there is no parameter sslmod; did you mean sslmode\?/],
      ["postgres://h/d?sslmode=allow", /allow would fall back/],
      ["postgres://h/d?sslmode=verify_full", /did you mean verify-full\?/],
      ["postgres://h/d?connect_timeout=3s", /whole number of seconds/],
      ["postgres://h/%zz", /two hexadecimal digits/],
      ["", /it is empty/]
    ] as const)("refuses %s with the reason", ([url, reason]) =>
      Effect.gen(function* () {
        assert.match((yield* Effect.flip(parseUrl(url))).message, reason)
      })
    )

    it.effect.each(["se#cret", "sec/ret", "sec?ret", "123/secret", "1?secret", "sec@x/ret", "100%secret"])(
      "does not show any of the password %s that nobody encoded",
      (password) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(parseUrl(`postgres://user:${password}@host/db`))
          assert.notMatch(inspect(error) + JSON.stringify(error) + error.message, /secret|sec|ret|123/)
          assert.include(error.message, "percent-encode")
        })
    )

    it.effect("gives back any user, password and database that was encoded", () =>
      Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(
            FastCheck.string({ minLength: 1, unit: "grapheme" }),
            FastCheck.string({ minLength: 1, unit: "grapheme" }),
            FastCheck.string({ minLength: 1, unit: "grapheme" }),
            async (user, password, database) => {
              const [u, p, d] = [user, password, database].map(encodeURIComponent)
              const target = await Effect.runPromise(parseUrl(`postgres://${u}:${p}@h:1/${d}`))
              assert.deepStrictEqual([target.username, passwordOf(target), target.database], [user, password, database])
            }
          )
        )
      )
    )
  })

  describe("nodeName", () => {
    it("names a node without credentials, and an IPv6 address in brackets", () => {
      assert.strictEqual(nodeName({ host: "::1", port: 5432, database: "app" }), "[::1]:5432/app")
    })
  })

  describe("sslmode", () => {
    const full = { rejectUnauthorized: true, verifyHost: true }

    it.effect.each([
      ["disable", false],
      ["no-verify", { rejectUnauthorized: false, verifyHost: false }],
      ["prefer", full],
      ["require", full],
      ["verify-ca", full],
      ["verify-full", full]
    ] as const)("reads %s as node-postgres does", ([mode, expected]) =>
      Effect.gen(function* () {
        const { ssl } = yield* parseUrl(`postgres://u@h/d?sslmode=${mode}`)
        if (ssl === false || expected === false) assert.strictEqual(ssl, expected)
        else assert.include(ssl, expected)
      })
    )

    it.effect.each([
      ["require", { rejectUnauthorized: false, verifyHost: false }],
      ["prefer", { rejectUnauthorized: false, verifyHost: false }],
      ["verify-full", full]
    ] as const)("reads %s as libpq does where uselibpqcompat=true asks for it", ([mode, expected]) =>
      Effect.gen(function* () {
        const { ssl } = yield* parseUrl(`postgres://u@h/d?sslmode=${mode}&uselibpqcompat=true`)
        if (ssl === false) assert.fail("no TLS at all")
        assert.include(ssl, expected)
      })
    )

    it.effect("lets libpq's verify-ca leave the host name alone, and refuses it without an authority", () =>
      Effect.gen(function* () {
        const url = "postgres://u@h/d?sslmode=verify-ca&uselibpqcompat=true"
        assert.match((yield* Effect.flip(parseUrl(url))).message, /verify-ca needs sslrootcert/)
        const { ssl } = yield* parseUrl(`${url}&sslrootcert=/ca.pem`).pipe(Effect.provide(files({ "/ca.pem": "CA" })))
        assert.deepInclude(ssl, { rejectUnauthorized: true, verifyHost: false, ca: "CA" })
      })
    )

    it.effect("reads certificates, keeps the key to itself, and turns TLS on for them", () =>
      Effect.gen(function* () {
        const { ssl } = yield* parseUrl("postgres://u@h/d?sslrootcert=/ca&sslcert=/cert&sslkey=/key")
        if (ssl === false) assert.fail("no TLS at all")
        assert.include(ssl, { ...full, ca: "CA", cert: "CERT" })
        assert.notInclude(JSON.stringify(ssl), "KEY")
        assert.strictEqual(ssl.key === undefined ? undefined : Redacted.value(ssl.key), "KEY")
      }).pipe(Effect.provide(files({ "/ca": "CA", "/cert": "CERT", "/key": "KEY" })))
    )

    it.effect("names the option and the file that it cannot read", () =>
      Effect.gen(function* () {
        const url = "postgres://u@h/d?sslmode=require&sslrootcert=/none"
        const missing = yield* Effect.flip(parseUrl(url)).pipe(Effect.provide(files({})))
        assert.strictEqual(missing.reason, "FileUnreadable")
        assert.strictEqual(missing.message, "option sslRootCert (from url sslrootcert): /none cannot be read")
        const without = yield* Effect.flip(parseUrl(url))
        assert.include(without.message, "FileSystem")
      })
    )

    it.effect("verifies in production unless told otherwise, and says so", () =>
      Effect.gen(function* () {
        const settings = yield* make({ profile: "production", url: "postgres://u@h/d" })
        assert.isNotFalse(settings.primary.ssl)
        assert.deepInclude(entryOf(settings, "ssl"), {
          value: "verify-full: on, certificate and host name verified",
          source: "default of production"
        })
        const relaxed = yield* make({ profile: "production", url: "postgres://u@h/d?sslmode=no-verify" })
        assert.strictEqual(entryOf(relaxed, "ssl")?.value, "no-verify: on, certificate not verified")
        assert.isFalse((yield* make({ profile: "production", url: "postgres://u@h/d", ssl: false })).primary.ssl)
      })
    )
  })

  describe("profiles", () => {
    it.effect.each([
      ["development", 1, 5],
      ["test", 1, 3],
      ["staging", 2, 10],
      ["production", 5, 50]
    ] as const)("%s pools %i to %i connections", ([profile, min, max]) =>
      Effect.gen(function* () {
        const { pool } = yield* make({ profile })
        assert.deepInclude(pool, { min, max })
      })
    )

    it.effect("is PLINTH_PROFILE's, else NODE_ENV's, else development", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* withVariables({})).profile, "development")
        assert.strictEqual((yield* withVariables({ NODE_ENV: "production" })).profile, "production")
        assert.strictEqual((yield* withVariables({ NODE_ENV: "storybook" })).profile, "development")
        const both = { NODE_ENV: "production", PLINTH_PROFILE: "staging" }
        assert.strictEqual((yield* withVariables(both)).profile, "staging")
        assert.strictEqual((yield* withVariables(both, { profile: "test" })).profile, "test")
      })
    )

    it.effect("refuses a misspelt profile with a suggestion", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(withVariables({ PLINTH_PROFILE: "prodution" }))
        assert.match(error.message, /^option profile \(from PLINTH_PROFILE\): .* did you mean production\?$/)
      })
    )
  })

  describe("variables", () => {
    it.effect("builds everything from DATABASE_URL, DATABASE_REPLICA_URLS and PLINTH_*", () =>
      Effect.gen(function* () {
        const settings = yield* withVariables({
          DATABASE_URL: "postgres://u:p@primary/app",
          DATABASE_REPLICA_URLS: "postgres://r1:1, postgres://other:q@r2a,r2b:2/db2",
          PLINTH_POOL_MAX: "17",
          PLINTH_POOL_ACQUIRE_TIMEOUT: "750 ms",
          PLINTH_STATEMENT_TIMEOUT: "30s",
          PLINTH_ROUTER_MAX_LAG_BYTES: "8 MB",
          PLINTH_PREPARE: "off",
          PLINTH_MONITOR_INTERVAL: "1 minute"
        })
        assert.strictEqual(nodeName(settings.primary), "primary:5432/app")
        assert.deepStrictEqual(settings.replicas.map(nodeName), ["r1:1/app", "r2a:5432/db2"])
        assert.deepStrictEqual(settings.replicas[1]?.alternatives, [{ host: "r2b", port: 2 }])
        assert.strictEqual(settings.pool.max, 17)
        assert.deepStrictEqual(settings.pool.acquireTimeout, Duration.millis(750))
        assert.deepStrictEqual(settings.pool.statementTimeout, Duration.seconds(30))
        assert.isFalse(settings.pool.prepare)
        assert.strictEqual(settings.router.maxLagBytes, 8 * 1024 * 1024)
        assert.deepStrictEqual(settings.monitor.interval, Duration.minutes(1))
      })
    )

    it.effect("asks option, URL, own variable, libpq's variable and default, in this order", () =>
      Effect.gen(function* () {
        const variables = {
          DATABASE_URL: "postgres://h/d?application_name=from-url",
          PLINTH_APPLICATION_NAME: "from-plinth",
          PGAPPNAME: "from-libpq"
        }
        const nameAndSource = (settings: DatabaseConfig.Settings) => [
          settings.primary.applicationName,
          entryOf(settings, "applicationName")?.source
        ]
        const { DATABASE_URL: _, ...noUrl } = variables
        const { PLINTH_APPLICATION_NAME: __, ...onlyLibpq } = noUrl
        assert.deepStrictEqual(nameAndSource(yield* withVariables(variables, { applicationName: "mine" })), [
          "mine",
          "option"
        ])
        assert.deepStrictEqual(nameAndSource(yield* withVariables(variables)), [
          "from-url",
          "DATABASE_URL application_name"
        ])
        assert.deepStrictEqual(nameAndSource(yield* withVariables(noUrl)), ["from-plinth", "PLINTH_APPLICATION_NAME"])
        assert.deepStrictEqual(nameAndSource(yield* withVariables(onlyLibpq)), ["from-libpq", "PGAPPNAME"])
        assert.deepStrictEqual(nameAndSource(yield* withVariables({})), ["plinth", "default of development"])
      })
    )

    it.effect("understands libpq's variables", () =>
      Effect.gen(function* () {
        const { primary } = yield* withVariables({
          PGHOST: "a,b",
          PGPORT: "1,2",
          PGUSER: "u",
          PGPASSWORD: "p",
          PGDATABASE: "d",
          PGSSLMODE: "require",
          PGCONNECT_TIMEOUT: "7",
          PGOPTIONS: "-c a=b"
        })
        assert.strictEqual(nameOf(primary), "a:1/d b:2")
        assert.strictEqual(primary.username, "u")
        assert.strictEqual(passwordOf(primary), "p")
        assert.isNotFalse(primary.ssl)
        assert.deepStrictEqual(primary.connectTimeout, Duration.seconds(7))
        assert.strictEqual(primary.options, "-c a=b")
      })
    )

    const nameOf = (target: DatabaseConfig.ConnectionTarget) =>
      [nodeName(target), ...(target.alternatives ?? []).map(({ host, port }) => `${host}:${port}`)].join(" ")

    it.effect("takes the operating system's user where nobody names one, and an empty variable for absent", () =>
      Effect.gen(function* () {
        const { hasTarget, primary } = yield* withVariables({ USER: "ada", PGUSER: "", DATABASE_URL: "" })
        assert.strictEqual(primary.username, "ada")
        assert.strictEqual(primary.database, "ada")
        assert.strictEqual(nodeName(primary), "localhost:5432/ada")
        assert.isFalse(hasTarget)
        assert.isTrue((yield* withVariables({ PGHOST: "h" })).hasTarget)
      })
    )

    it.effect("reads no variable in make", () =>
      Effect.gen(function* () {
        const settings = yield* make({}).pipe(
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["DATABASE_URL", "postgres://u@elsewhere/d"]])))
        )
        assert.strictEqual(settings.primary.host, "localhost")
      })
    )

    it.effect.each([
      [
        { PLINTH_POOL_MAX: "ten" },
        'option maxConnections (from PLINTH_POOL_MAX): "ten" is not a whole number of 1 or more'
      ],
      [{ PLINTH_POOL_MAX: "0" }, "option maxConnections (from PLINTH_POOL_MAX): 0 is not a whole number of 1 or more"],
      [
        { PLINTH_POOL_IDLE_TIMEOUT: "60" },
        'option idleTimeout (from PLINTH_POOL_IDLE_TIMEOUT): "60" is not a duration with a unit, such as 500 ms or 5 seconds'
      ],
      [{ PLINTH_PREPARE: "maybe" }, 'option prepare (from PLINTH_PREPARE): "maybe" is neither true nor false'],
      [
        { PLINTH_POOL_MIN: "9" },
        "option minConnections (from PLINTH_POOL_MIN): it is 9, above maxConnections, which is 5 (from default of development)"
      ],
      [
        { PLINTH_POOL_MXA: "9" },
        "option maxConnections (from PLINTH_POOL_MXA): there is no variable PLINTH_POOL_MXA; did you mean PLINTH_POOL_MAX?"
      ]
    ] as const)("names option, variable and reason for %j", ([variables, message]) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* Effect.flip(withVariables(variables))).message, message)
      })
    )

    it.effect("finds a misspelt variable also in the environment, which is split at underscores", () =>
      Effect.gen(function* () {
        const provider = ConfigProvider.fromMap(new Map([["PLINTH_POOL_MXA", "9"]]), { pathDelim: "_", seqDelim: "," })
        const error = yield* Effect.flip(fromEnv()).pipe(Effect.withConfigProvider(provider))
        assert.include(error.message, "did you mean PLINTH_POOL_MAX?")
      })
    )

    it.effect("leaves variables alone that belong to the programs, the tests or somebody else", () =>
      withVariables({
        PLINTH_CONFIG: "a",
        PLINTH_DIR: "a",
        PLINTH_JSON: "a",
        PLINTH_QUIET: "a",
        PLINTH_VERBOSE: "a",
        PLINTH_DEBUG: "a",
        PLINTH_YES: "a",
        PLINTH_SEEDS: "a",
        PLINTH_EMBEDDED: "a",
        PLINTH_BACKUP_DIR: "a",
        PLINTH_PG_MAJOR: "18",
        PLINTH_TEST_URL: "a",
        PLINTH_TEST_REPLICA_URLS: "a",
        PLINTH_OF_CHESS: "a"
      })
    )
  })

  describe("options", () => {
    it.effect("refuses an unknown one with a suggestion", () =>
      Effect.gen(function* () {
        const misspelt: object = { maxConections: 3 }
        const error = yield* Effect.flip(make(misspelt))
        assert.strictEqual(error.reason, "UnknownName")
        assert.strictEqual(error.message, "option maxConections: there is no such option; did you mean maxConnections?")
      })
    )

    it.effect.each([
      [{ maxConnections: 2.5 }, "option maxConnections: 2.5 is not a whole number of 1 or more"],
      [{ acquireTimeout: -1 }, "option acquireTimeout: -1 is negative"],
      [{ connectTimeout: 0 }, "option connectTimeout: 0 is less than 1ms"],
      [{ maxLagBytes: -1 }, "option maxLagBytes: -1 is not a size in bytes"],
      [{ host: "" }, "option host: a host name is empty"],
      [{ replicaUrls: ["postgres:///d"] }, "option replicaUrls (from replicaUrls 1): it names no host"]
    ] satisfies ReadonlyArray<readonly [DatabaseConfig.Options, string]>)(
      "refuses %j with the reason",
      ([options, message]) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* Effect.flip(make(options))).message, message)
        })
    )
  })

  describe("replicas", () => {
    it.effect("take from the primary what their URL does not say, except where they are", () =>
      Effect.gen(function* () {
        const { replicas } = yield* make({
          url: "postgres://u:p@primary:6000/app?sslmode=no-verify",
          replicaUrls: ["postgres://replica", "postgres://reader@replica2/app"],
          host: "127.0.0.1",
          port: 7000,
          applicationName: "web"
        })
        assert.deepStrictEqual(replicas.map(nodeName), ["replica:5432/app", "replica2:5432/app"])
        assert.deepStrictEqual(replicas.map(passwordOf), ["p", undefined])
        assert.deepStrictEqual(
          replicas.map(({ applicationName, ssl }) => [applicationName, ssl !== false]),
          [
            ["web", true],
            ["web", true]
          ]
        )
      })
    )
  })

  describe("password file", () => {
    const passfile = [
      "# comment",
      "other:5432:*:u:wrong",
      "h:5432:app:u:se\\:cr\\\\et",
      "localhost:*:*:u:socket",
      "*:*:*:u:any"
    ].join("\n")

    it.effect.each([
      ["postgres://u@h/app", "se:cr\\et"],
      ["postgres://u@h/elsewhere", "any"],
      ["postgres://u@%2Fsock/app", "socket"],
      ["postgres://stranger@h/app", undefined],
      ["postgres://u:given@h/app", "given"]
    ] as const)("gives %s the password of the first line that fits", ([url, expected]) =>
      Effect.gen(function* () {
        const target = yield* parseUrl(url, { passfile: "/pass" })
        assert.strictEqual(passwordOf(target), expected)
      }).pipe(Effect.provide(files({ "/pass": passfile })))
    )

    it.effect("is ~/.pgpass, or PGPASSFILE, and shows up as the password's source", () =>
      Effect.gen(function* () {
        const home = yield* withVariables({ HOME: "/home/ada", DATABASE_URL: "postgres://u@h/app" })
        assert.strictEqual(passwordOf(home.primary), "at home")
        assert.deepInclude(entryOf(home, "password"), { value: "***", source: "/home/ada/.pgpass" })
        const named = yield* withVariables({ HOME: "/home/ada", PGPASSFILE: "/named", PGHOST: "h", PGUSER: "u" })
        assert.strictEqual(passwordOf(named.primary), "named")
      }).pipe(Effect.provide(files({ "/home/ada/.pgpass": "*:*:*:*:at home", "/named": "*:*:*:*:named" })))
    )

    it.effect("is ignored when others may read it or it is missing, as libpq does", () =>
      Effect.gen(function* () {
        assert.isUndefined((yield* parseUrl("postgres://u@h/app", { passfile: "/open" })).password)
        assert.isUndefined((yield* parseUrl("postgres://u@h/app", { passfile: "/none" })).password)
      }).pipe(Effect.provide(files({ "/open": { text: "*:*:*:*:p", mode: 0o100644 } })))
    )
  })

  describe("service file", () => {
    const serviceFile =
      "[other]\nhost=wrong\n[orders]\n# comment\nhost=db\nport=6000\ndbname=app\nuser=u\n[last]\nhost=wrong\n"

    it.effect("fills in between the URL and libpq's variables", () =>
      Effect.gen(function* () {
        const settings = yield* withVariables({ HOME: "/home/ada", PGSERVICE: "orders", PGPORT: "1", PGAPPNAME: "web" })
        assert.strictEqual(nodeName(settings.primary), "db:6000/app")
        assert.strictEqual(settings.primary.applicationName, "web")
        assert.strictEqual(entryOf(settings, "port")?.source, "/home/ada/.pg_service.conf [orders] port")
      }).pipe(Effect.provide(files({ "/home/ada/.pg_service.conf": serviceFile })))
    )

    it.effect("is refused when it lacks the section, or has a parameter that does not exist", () =>
      Effect.gen(function* () {
        const variables = { PGSERVICEFILE: "/services" }
        const missing = yield* Effect.flip(withVariables({ ...variables, PGSERVICE: "orderz" }))
        assert.strictEqual(missing.message, "option service (from PGSERVICE): /services has no section [orderz]")
        const unknown = yield* Effect.flip(withVariables(variables, { service: "bad" }))
        assert.match(unknown.message, /there is no parameter hots; did you mean host\?/)
      }).pipe(Effect.provide(files({ "/services": "[bad]\nhots=x\n" })))
    )
  })

  describe("secrets", () => {
    const shownBy = (value: unknown): string =>
      [JSON.stringify(value), inspect(value, { depth: 20 }), String(value), Cause.pretty(Cause.fail(value))].join("\n")

    it.effect("are in no rendering of the settings", () =>
      Effect.gen(function* () {
        const settings = yield* withVariables(
          {
            DATABASE_URL: "postgres://u:hunter2@h/d?password=hunter2",
            DATABASE_REPLICA_URLS: "postgres://u:hunter2@r/d,postgres://r2/d?password=hunter2",
            PGPASSWORD: "hunter2"
          },
          { ssl: { key: "hunter2", ca: "CA" } }
        )
        assert.strictEqual(passwordOf(settings.primary), "hunter2")
        assert.strictEqual(settings.replicas.map(passwordOf).join(), "hunter2,hunter2")
        assert.notInclude(shownBy(settings), "hunter2")
        assert.strictEqual(entryOf(settings, "url")?.value, "postgres://u:***@h/d?password=***")
      })
    )

    it.effect("are in no failure either", () =>
      Effect.gen(function* () {
        const url = "postgres://u:hunter2@h/d"
        const attempts: ReadonlyArray<DatabaseConfig.Options> = [
          { url: `${url}?sslmode=nope` },
          { url: `${url}?hunted=hunter` },
          { url, replicaUrls: ["postgres://u:hunter2/@r"] },
          { url, maxConnections: -1 },
          { url: Redacted.make("hunter2") }
        ]
        const errors = yield* Effect.forEach(attempts, (options) => Effect.flip(make(options)))
        assert.notInclude(errors.map(shownBy).join("\n"), "hunter2")
      })
    )

    it.effect("may be asked for at connect, and are not asked for before", () =>
      Effect.gen(function* () {
        const password = Effect.dieMessage("asked too early")
        const settings = yield* make({ url: "postgres://u@h/d", password })
        assert.strictEqual(settings.primary.password, password)
        assert.strictEqual(entryOf(settings, "password")?.value, "(asked at connect)")
      })
    )
  })

  describe("entries and documentation", () => {
    it.effect("list every option of the table once, with where its value came from", () =>
      Effect.gen(function* () {
        const { entries } = yield* make()
        assert.deepStrictEqual(
          entries.map(({ option }) => option),
          DatabaseConfig.references.map(({ option }) => option)
        )
        assert.isTrue(entries.every(({ source, value, variable }) => source && value && variable))
      })
    )

    it("gives no variable and no parameter to two options", () => {
      const names = DatabaseConfig.references.flatMap(({ keyword, variables }) => [
        ...variables,
        ...(keyword === undefined ? [] : [keyword])
      ])
      assert.strictEqual(new Set(names).size, names.length)
    })

    it("is what docs/configuration.md says", async () => {
      await expect(reference.markdown()).toMatchFileSnapshot("../docs/configuration.md")
    })
  })
})
