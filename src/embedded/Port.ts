/**
 * Free TCP ports on 127.0.0.1. A port that is free now may be taken a moment later: the callers retry.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { createServer } from "node:net"

/** Whether a server can listen on the port now. */
export const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resume(Effect.succeed(true))))
  })

/** A free port below the ranges from which Linux (32768) and macOS (49152) take the ports of outgoing connections. */
export const find: Effect.Effect<number> = Random.nextIntBetween(15_000, 32_000).pipe(Effect.repeat({ until: isFree }))
