/**
 * Whether a server is on this machine.
 */
import type { ConnectionTarget } from "../DatabaseConfig.ts"

/** A Unix socket, `localhost`, or a loopback address. */
const isLocalHost = (host: string): boolean =>
  host.startsWith("/") || /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host)

/** Every host of the target is this machine. A tunnel to elsewhere looks the same, which the mark is for. */
export const isLocal = (target: ConnectionTarget): boolean =>
  [target.host, ...(target.alternatives ?? []).map(({ host }) => host)].every(isLocalHost)
