import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Socket } from "node:net"
import { connect, createServer } from "node:net"
import * as FaultProxy from "../support/FaultProxy.ts"

/** A server that sends back what it gets. */
const echo = Effect.acquireRelease(
  Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
    const server = createServer((socket) => {
      socket.on("error", () => {})
      socket.pipe(socket)
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      if (typeof address === "object" && address !== null) {
        resume(Effect.succeed({ port: address.port, close: () => server.close() }))
      }
    })
  }),
  (server) => Effect.sync(() => server.close())
)

const dial = (port: number) =>
  Effect.acquireRelease(
    Effect.async<Socket, Error>((resume) => {
      const socket = connect({ host: "127.0.0.1", port })
      socket.once("connect", () => resume(Effect.succeed(socket)))
      socket.on("error", (error) => resume(Effect.fail(error)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Sends the text and waits for as many bytes back; fails with the socket's error or "closed". */
const exchange = (socket: Socket, text: string) =>
  Effect.async<string, string>((resume) => {
    let received = ""
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString()
      if (received.length >= text.length) resume(Effect.succeed(received))
    })
    socket.on("error", (error) => resume(Effect.fail(`${error.message} after ${received.length}`)))
    socket.on("close", () => resume(Effect.fail(`closed after ${received.length}`)))
    socket.write(text)
  })

const setup = Effect.gen(function* () {
  const server = yield* echo
  return yield* FaultProxy.make(server.port)
})

describe("FaultProxy", () => {
  it.scopedLive("puts itself in the place of the server", () =>
    Effect.gen(function* () {
      const proxy = yield* setup
      const url = proxy.url(Redacted.make("postgres://user:secret@db.example:5432/app?sslmode=disable"))
      assert.strictEqual(Redacted.value(url), `postgres://user:secret@127.0.0.1:${proxy.port}/app?sslmode=disable`)
      assert.strictEqual(yield* exchange(yield* dial(proxy.port), "hello"), "hello")
    })
  )

  it.scopedLive("delays both directions", () =>
    Effect.gen(function* () {
      const proxy = yield* setup
      const socket = yield* dial(proxy.port)
      yield* proxy.latency("40 millis")
      const [duration] = yield* Effect.timed(exchange(socket, "hello"))
      assert.isAtLeast(Duration.toMillis(duration), 79)
    })
  )

  it.scopedLive("goes silent, and delivers what was sent meanwhile when it passes again", () =>
    Effect.gen(function* () {
      const proxy = yield* setup
      const socket = yield* dial(proxy.port)
      yield* proxy.blackhole
      const fiber = yield* Effect.fork(exchange(socket, "hello"))
      const early = yield* fiber.pipe(Fiber.join, Effect.disconnect, Effect.timeoutOption("100 millis"))
      assert.isTrue(Option.isNone(early))
      yield* proxy.pass
      assert.strictEqual(yield* Fiber.join(fiber), "hello")
    })
  )

  it.scopedLive("refuses new connections, keeps the open ones, and listens on the same port again", () =>
    Effect.gen(function* () {
      const proxy = yield* setup
      const open = yield* dial(proxy.port)
      yield* proxy.refuse
      const refused = yield* Effect.flip(dial(proxy.port))
      assert.include(refused.message, "ECONNREFUSED")
      assert.strictEqual(yield* exchange(open, "still here"), "still here")
      yield* proxy.pass
      assert.strictEqual(yield* exchange(yield* dial(proxy.port), "back"), "back")
    })
  )

  it.scopedLive("resets open connections", () =>
    Effect.gen(function* () {
      const proxy = yield* setup
      const socket = yield* dial(proxy.port)
      assert.strictEqual(yield* exchange(socket, "x"), "x")
      const fiber = yield* Effect.fork(Effect.flip(exchange(socket, "y".repeat(1_000_000))))
      yield* Effect.yieldNow()
      yield* proxy.reset
      assert.match(yield* Fiber.join(fiber), /ECONNRESET|EPIPE|closed/)
      assert.strictEqual(yield* proxy.connections, 0)
    })
  )

  it.scopedLive("cuts a reply after so many bytes", () =>
    Effect.gen(function* () {
      const proxy = yield* setup
      const socket = yield* dial(proxy.port)
      yield* proxy.cutAfter(3)
      assert.match(yield* Effect.flip(exchange(socket, "hello")), /after 3$/)
    })
  )
})
