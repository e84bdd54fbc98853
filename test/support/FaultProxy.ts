/**
 * A TCP proxy in front of a server that does what networks do: slow down, go silent, refuse, reset, cut in the middle.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Server, Socket } from "node:net"
import { connect, createServer } from "node:net"

export interface FaultProxy {
  readonly port: number
  /** The URL with this proxy in the place of its host and port. */
  readonly url: (original: Redacted.Redacted) => Redacted.Redacted
  /** Forwards everything at once: the state at the start, and the cure of all faults. */
  readonly pass: Effect.Effect<void>
  /** Delays every chunk in both directions by this much. */
  readonly latency: (delay: Duration.DurationInput) => Effect.Effect<void>
  /** Goes silent: connections are accepted and kept, nothing is forwarded until `pass`. */
  readonly blackhole: Effect.Effect<void>
  /** Goes silent on the connections that are open now, also about their end, until `pass`; new ones work. */
  readonly mute: Effect.Effect<void>
  /** Refuses new connections (ECONNREFUSED) and leaves open ones alone. */
  readonly refuse: Effect.Effect<void>
  /** Resets all open connections (ECONNRESET). */
  readonly reset: Effect.Effect<void>
  /** Lets the server send this many more bytes over each connection, then resets it in the middle. */
  readonly cutAfter: (bytes: number) => Effect.Effect<void>
  /** Cuts one connection: in place of the next thing that a client says, or of the next that a server answers. */
  readonly cutNext: (what: "request" | "answer") => Effect.Effect<void>
  /** Waits for a client to say this text (bytes, as latin1), and does this to it or to what the server answers it, once. */
  readonly strike: (said: string, fault: Strike) => Effect.Effect<void>
  /** Waits for a client to say this text, and keeps so many bytes from the end of it, once. */
  readonly withhold: (said: string, bytes: number) => Effect.Effect<void>
  /** Whether the last `strike` has happened. */
  readonly struck: Effect.Effect<boolean>
  /** Connections that are open now. */
  readonly connections: Effect.Effect<number>
}

export interface Strike {
  /** Reset that connection, or go silent on all of them until `pass`. */
  readonly fault: "cut" | "stall"
  readonly on: "request" | "answer"
  /** Bytes of the answer that still pass. @default 0 */
  readonly after?: number | undefined
}

/** The code that a CancelRequest has in the place of a protocol version, for `strike`. */
export const cancelCode = "\x04\xd2\x16\x2e"

interface Pair {
  readonly client: Socket
  readonly server: Socket
  /** What waits while the proxy is silent. */
  readonly held: Array<() => void>
  muted: boolean
  remaining: number
  /** What happens when nothing remains. */
  then: Strike["fault"]
}

const listen = (server: Server, port: number) =>
  Effect.async<number>((resume) => {
    server.listen({ host: "127.0.0.1", port }, () => {
      const address = server.address()
      resume(typeof address === "object" && address !== null ? Effect.succeed(address.port) : Effect.die("no address"))
    })
  })

/** Starts a proxy in front of `target` on 127.0.0.1; it ends with the scope. */
export const make = (target: number): Effect.Effect<FaultProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const pairs = new Set<Pair>()
    let delay = 0
    let silent = false
    let budget = Number.POSITIVE_INFINITY
    let doomed: "request" | "answer" | undefined
    let awaited: (Strike & { readonly said: Buffer }) | undefined
    let withheld: { readonly said: string; readonly bytes: number } | undefined

    const cut = (pair: Pair) => {
      pairs.delete(pair)
      pair.client.resetAndDestroy()
      pair.server.destroy()
    }
    const forward = (pair: Pair, to: Socket, said: Buffer) => {
      const fromServer = to === pair.client
      let chunk = said
      if (withheld !== undefined && !fromServer && said.includes(withheld.said, 0, "latin1")) {
        chunk = said.subarray(0, -withheld.bytes)
        withheld = undefined
      }
      if (doomed === (fromServer ? "answer" : "request")) {
        doomed = undefined
        return cut(pair)
      }
      if (awaited !== undefined && !fromServer && chunk.includes(awaited.said)) {
        const { after = 0, fault, on } = awaited
        awaited = undefined
        if (on === "request") {
          if (fault === "cut") return cut(pair)
          silent = true
        } else {
          pair.remaining = after
          pair.then = fault
        }
      }
      const deliver = () => {
        if (silent || pair.muted) return void pair.held.push(deliver)
        if (to.destroyed) return
        if (!fromServer || chunk.length < pair.remaining) {
          if (fromServer) pair.remaining -= chunk.length
          return void to.write(chunk)
        }
        const head = chunk.subarray(0, pair.remaining)
        if (pair.then === "cut") return void to.write(head, () => cut(pair))
        silent = true
        to.write(head)
        const rest = chunk.subarray(pair.remaining)
        pair.remaining = Number.POSITIVE_INFINITY
        pair.held.push(() => to.write(rest))
      }
      if (delay > 0) setTimeout(deliver, delay)
      else deliver()
    }
    const accept = (client: Socket) => {
      const server = connect({ host: "127.0.0.1", port: target, noDelay: true })
      const pair: Pair = { client, server, held: [], muted: false, remaining: budget, then: "cut" }
      pairs.add(pair)
      client.setNoDelay(true)
      client.on("data", (chunk: Buffer) => forward(pair, server, chunk))
      server.on("data", (chunk: Buffer) => forward(pair, client, chunk))
      for (const [one, other] of [
        [client, server],
        [server, client]
      ] as const) {
        // An end must not overtake the data that is still on its way.
        one.on("end", () => {
          const end = () => (silent || pair.muted ? void pair.held.push(end) : void other.end())
          if (delay > 0) setTimeout(end, delay)
          else end()
        })
        one.on("error", () => cut(pair))
        one.on("close", () => {
          if (client.destroyed && server.destroyed) pairs.delete(pair)
        })
      }
    }

    const server = createServer({ allowHalfOpen: true }, accept)
    const port = yield* Effect.acquireRelease(listen(server, 0), () =>
      Effect.async<void>((resume) => {
        for (const pair of pairs) cut(pair)
        if (server.listening) server.close(() => resume(Effect.void))
        else resume(Effect.void)
      })
    )
    const sync = (change: () => void) => Effect.sync(change)
    const relisten = Effect.suspend(() => (server.listening ? Effect.void : Effect.asVoid(listen(server, port))))
    return {
      port,
      url: (original) => {
        const url = new URL(Redacted.value(original))
        url.hostname = "127.0.0.1"
        url.port = String(port)
        return Redacted.make(url.href)
      },
      pass: Effect.zipRight(
        relisten,
        sync(() => {
          delay = 0
          silent = false
          awaited = undefined
          budget = Number.POSITIVE_INFINITY
          for (const pair of pairs) {
            pair.remaining = budget
            pair.muted = false
            pair.then = "cut"
            for (const deliver of pair.held.splice(0)) deliver()
          }
        })
      ),
      latency: (duration) => sync(() => (delay = Duration.toMillis(duration))),
      blackhole: sync(() => (silent = true)),
      mute: sync(() => {
        for (const pair of pairs) pair.muted = true
      }),
      // Closing stops the listening at once; its callback would wait for the open connections.
      refuse: sync(() => void server.close()),
      reset: sync(() => {
        for (const pair of pairs) cut(pair)
      }),
      cutAfter: (bytes) =>
        sync(() => {
          budget = bytes
          for (const pair of pairs) pair.remaining = bytes
        }),
      cutNext: (what) => sync(() => (doomed = what)),
      strike: (said, fault) => sync(() => (awaited = { ...fault, said: Buffer.from(said, "latin1") })),
      withhold: (said, bytes) => sync(() => (withheld = { said, bytes })),
      struck: Effect.sync(() => awaited === undefined),
      connections: Effect.sync(() => pairs.size)
    }
  })
