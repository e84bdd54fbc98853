/**
 * PostgreSQL's CancelRequest: on a socket of its own, through TLS where the session uses it, to the session's server.
 */
import * as Effect from "effect/Effect"
import type * as Pg from "pg"
import { backendKey, makeWriter, writerOf } from "./driver.ts"

/** Asks the server to cancel what the client's backend is doing; returns when the server has passed it on, or failed to. */
export const cancelRequest = (client: Pg.Client, config: Pg.ClientConfig): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const host = config.host ?? "localhost"
    const port = config.port ?? 5432
    // Verified against the name that the session was opened with, though the address is the session's own.
    const ssl =
      config.ssl === undefined || config.ssl === false
        ? false
        : { ...serverName(host), ...(config.ssl === true ? {} : config.ssl) }
    const { processId, secretKey } = backendKey(client)
    const request = makeWriter(ssl)
    const done = () => resume(Effect.void)
    request.on("connect", () => (ssl === false ? request.cancel(processId, secretKey) : request.requestSsl()))
    request.on("sslconnect", () => request.cancel(processId, secretKey))
    request.on("end", done)
    request.on("error", done)
    if (host.startsWith("/")) request.connect(`${host}/.s.PGSQL.${port}`)
    else request.connect(port, writerOf(client.connection).stream.remoteAddress ?? host)
    return Effect.sync(() => request.stream.destroy())
  })

/** TLS names no server by its address (RFC 6066); the certificate is then held against the address itself. */
export const serverName = (host: string): { readonly servername?: string } =>
  host.includes(":") || /^[\d.]+$/.test(host) ? {} : { servername: host }
