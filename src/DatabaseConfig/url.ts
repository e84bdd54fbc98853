/**
 * Reads connection URLs, `postgres://user:password@host:port,host:port/database?sslmode=..`, into libpq's keywords.
 *
 * A hand-written reader, because WHATWG URL refuses several hosts, and because its errors quote the URL.
 *
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
 */
import * as Either from "effect/Either"

/** libpq keyword to value. */
export type Keywords = ReadonlyMap<string, string>

// A raw @ in the path means that the password has a slash in it.
const shape = /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^/?#]*)(?:\/([^?#@]*))?(?:\?([^#]*))?$/

/** No message here quotes the URL: with a reserved character left unencoded, any part of it may be the password. */
const encode = "percent-encode reserved characters in user name and password (@ is %40, / is %2F, # is %23, : is %3A)"

const decode = (part: string): Either.Either<string, string> =>
  Either.try({
    try: () => decodeURIComponent(part),
    catch: () => `it has a % that is not followed by two hexadecimal digits; ${encode}`
  })

/** One `host:port` of the list; brackets around an IPv6 address. */
const hostPort = (part: string): Either.Either<readonly [host: string, port: string], string> => {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]*))(?::(\d*))?$/.exec(part)
  if (match === null) return Either.left(`its host and port cannot be read; ${encode}`)
  return Either.map(decode(match[1] ?? match[2] ?? ""), (host) => [host, match[3] ?? ""] as const)
}

const parameters = (query: string): ReadonlyArray<readonly [string, string]> =>
  query
    .split("&")
    .filter((pair) => pair.length > 0)
    .map((pair) => {
      const equals = pair.indexOf("=")
      return equals < 0 ? ([pair, ""] as const) : ([pair.slice(0, equals), pair.slice(equals + 1)] as const)
    })

/** `ssl=true` of JDBC, Heroku and node-postgres, in the word that `sslmode` has for it. */
const sslWords: Readonly<Record<string, string>> = {
  true: "verify-full",
  "1": "verify-full",
  false: "disable",
  "0": "disable",
  "no-verify": "no-verify"
}

/** The keywords that a URL sets. */
export const keywordsOfUrl = (url: string): Either.Either<Keywords, string> =>
  Either.gen(function* () {
    const match = shape.exec(url.trim())
    if (match === null) {
      return yield* Either.left(
        /^postgres(ql)?:\/\//.test(url.trim())
          ? `it is not a connection URL; ${encode}`
          : "it does not start with postgres:// or postgresql://"
      )
    }
    const [, credentials, authority = "", path, query = ""] = match
    const keywords = new Map<string, string>()
    const set = (keyword: string, value: string) => {
      if (value.length > 0) keywords.set(keyword, value)
    }
    if (credentials !== undefined) {
      const colon = credentials.indexOf(":")
      set("user", yield* decode(colon < 0 ? credentials : credentials.slice(0, colon)))
      if (colon >= 0) set("password", yield* decode(credentials.slice(colon + 1)))
    }
    if (authority.length > 0) {
      const hosts = yield* Either.all(authority.split(",").map(hostPort))
      set("host", hosts.map(([host]) => host).join(","))
      if (hosts.some(([, port]) => port.length > 0)) set("port", hosts.map(([, port]) => port).join(","))
    }
    if (path !== undefined) set("dbname", yield* decode(path))
    for (const [name, value] of parameters(query)) {
      const keyword = yield* decode(name)
      if (!/^[a-z_]+$/i.test(keyword)) return yield* Either.left(`it has a parameter without a name; ${encode}`)
      // In a query a plus sign is a space to browsers only; libpq keeps it.
      const decoded = yield* decode(value)
      if (keyword === "ssl") set("sslmode", sslWords[decoded] ?? decoded)
      else set(keyword, decoded)
    }
    return keywords
  })

/** The URL as it may be shown: without its password, wherever that stands. */
export const maskUrl = (url: string): string =>
  shape.test(url.trim())
    ? url
        .trim()
        .replace(/^(postgres(?:ql)?:\/\/[^/?#:@]*):[^/?#]*@/, "$1:***@")
        .replace(/([?&](?:password|sslpassword)=)[^&#]*/gi, "$1***")
    : "***"
