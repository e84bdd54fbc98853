/**
 * How one reaches a server of a cluster: with a URL, or from a standby.
 */
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

/** The superuser's password; none where the cluster trusts every local connection. */
export type Password = Option.Option<Redacted.Redacted>

export interface Endpoint {
  readonly name: string
  readonly url: Redacted.Redacted
}

/** What a standby has to know about its primary. */
export interface Upstream extends Endpoint {
  readonly port: number
  readonly dataDirectory: string
}

/** The superuser's URL of the server on that port. */
export const url = (port: number, password: Password): Redacted.Redacted => {
  const credentials = Option.match(password, {
    onNone: () => "postgres",
    onSome: (secret) => `postgres:${encodeURIComponent(Redacted.value(secret))}`
  })
  return Redacted.make(`postgres://${credentials}@127.0.0.1:${port}/postgres`)
}

/** libpq's connection string by which the standby of that name finds its primary. */
export const primaryConnection = (standby: string, port: number, password: Password): string =>
  Object.entries({
    host: "127.0.0.1",
    port: String(port),
    user: "postgres",
    application_name: standby,
    ...Option.match(password, { onNone: () => ({}), onSome: (secret) => ({ password: Redacted.value(secret) }) })
  })
    .map(([name, value]) => `${name}='${value.replace(/[\\']/g, "\\$&")}'`)
    .join(" ")
