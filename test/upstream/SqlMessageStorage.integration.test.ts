/**
 * What the suite of `SqlMessageStorage` of `@effect/cluster` asks of a client.
 */
import * as Message from "@effect/cluster/Message"
import { MessageStorage } from "@effect/cluster/MessageStorage"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as Snowflake from "@effect/cluster/Snowflake"
import * as SqlMessageStorage from "@effect/cluster/SqlMessageStorage"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Array from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { contestants } from "./clients.ts"
import type { Client } from "./clients.ts"
import * as Messages from "./messages.ts"

/** The storage without the messages of the tests before. */
const emptied = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DELETE FROM cluster_replies`
  yield* sql`DELETE FROM cluster_messages`
  return yield* MessageStorage
})

/** The ids of the requests that nobody has read yet. */
const unread = Effect.flatMap(MessageStorage, (storage) =>
  Effect.map(
    storage.unprocessedMessages([Messages.address.shardId]),
    Array.map(({ envelope }) => (envelope._tag === "Request" ? envelope.payload : envelope._tag))
  )
)

const ids = (from: number, to: number) => Array.map(Array.range(from, to), (id) => ({ id }))

const suite = (name: string, client: Client) =>
  layer(
    SqlMessageStorage.layer.pipe(
      Layer.provideMerge(Snowflake.layerGenerator),
      Layer.provide(ShardingConfig.layerDefaults),
      Layer.provideMerge(client)
    ),
    { excludeTestServices: true }
  )(name, (it) => {
    it.effect("hands out what was saved and not answered, once and in order", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const first = yield* Messages.getUser(1)
        assert.strictEqual((yield* storage.saveRequest(first))._tag, "Success")
        for (const { id } of ids(2, 5)) yield* storage.saveRequest(yield* Messages.getUser(id))
        yield* storage.saveReply(yield* Messages.exitOf(first))
        assert.deepStrictEqual(yield* unread, ids(2, 5))
        for (const { id } of ids(6, 10)) yield* storage.saveRequest(yield* Messages.getUser(id))
        assert.deepStrictEqual(yield* unread, ids(6, 10))
        assert.deepStrictEqual(yield* unread, [])
      })
    )

    it.effect("hands out every request to one of several readers that poll at once", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const requests = yield* Effect.forEach(ids(1, 40), ({ id }) => Messages.getUser(id))
        yield* Effect.forEach(requests, (request) => storage.saveRequest(request), { concurrency: 6 })
        const read = yield* Effect.all(
          Array.makeBy(5, () => unread),
          { concurrency: 5 }
        )
        assert.lengthOf(read.flat(), 40)
      })
    )

    it.effect("answers a duplicate with the last reply, and refuses a second end", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const lastReply = Effect.flatMap(Messages.streamed(123), (again) =>
          Effect.map(storage.saveRequest(again), (result) =>
            result._tag === "Duplicate" ? Option.getOrThrow(result.lastReceivedReply)._tag : result._tag
          )
        )
        const request = yield* Messages.streamed(123)
        assert.strictEqual((yield* storage.saveRequest(request))._tag, "Success")

        const chunk = yield* Messages.chunkOf(request, 0)
        yield* storage.saveReply(chunk)
        yield* storage.saveEnvelope(yield* Messages.ackOf(request, chunk.reply.id))
        yield* storage.saveReply(yield* Messages.chunkOf(request, 1))
        assert.strictEqual(yield* lastReply, "Chunk")
        // 0.60 takes every stored chunk for an end (`Number(null) === 0`), so that only their number can be compared.
        assert.lengthOf(yield* storage.repliesFor([request]), 1)

        yield* storage.saveReply(yield* Messages.endOf(request))
        assert.strictEqual(yield* lastReply, "WithExit")
        const error = yield* Effect.flip(storage.saveReply(yield* Messages.endOf(request)))
        assert.strictEqual(error._tag, "PersistenceError")
        assert.lengthOf(yield* storage.repliesForUnfiltered([request.envelope.requestId]), 3)
      })
    )

    it.effect("knows a request by its primary key, of one that is longer than its column too", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        for (const id of ["123", "long-key-".repeat(50)]) {
          const request = yield* Messages.keyed(id)
          assert.strictEqual((yield* storage.saveRequest(request))._tag, "Success")
          const again = yield* storage.saveRequest(yield* Messages.keyed(id))
          assert.strictEqual(again._tag === "Duplicate" && again.originalId, request.envelope.requestId)
          const { address, tag } = request.envelope
          const found = yield* storage.requestIdForPrimaryKey({ address, tag, id })
          assert.strictEqual(Option.getOrNull(found), request.envelope.requestId)
        }
        const none = yield* storage.requestIdForPrimaryKey({ address: Messages.address, tag: "Keyed", id: "never" })
        assert.isTrue(Option.isNone(none))
      })
    )

    it.effect("saves one of many duplicates that arrive at once", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const same = yield* Effect.forEach(Array.range(1, 12), () => Messages.keyed(7))
        const results = yield* Effect.forEach(same, (request) => storage.saveRequest(request), { concurrency: 12 })
        assert.lengthOf(
          results.filter(({ _tag }) => _tag === "Success"),
          1
        )
      })
    )

    it.effect("does not hand out what is answered", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const request = yield* Messages.getUser(1)
        yield* storage.saveRequest(request)
        yield* storage.saveReply(yield* Messages.exitOf(request))
        assert.deepStrictEqual(yield* unread, [])
      })
    )

    it.effect("has the reply of a request when it was saved", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const request = yield* Messages.getUser(1)
        yield* storage.saveRequest(request)
        assert.deepStrictEqual(yield* storage.repliesFor([request]), [])
        yield* storage.saveReply(yield* Messages.exitOf(request))
        const replies = yield* storage.repliesFor([request])
        assert.deepStrictEqual(
          replies.map(({ requestId }) => requestId),
          [request.envelope.requestId]
        )
      })
    )

    it.effect("calls the handler of a reply that is saved, and lets go of one that is unregistered", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const answered = yield* Deferred.make<void>()
        const request = yield* Messages.getUser(1)
        yield* storage.saveRequest(request)
        const handler = yield* Effect.fork(
          storage.registerReplyHandler(
            new Message.OutgoingRequest({ ...request, respond: () => Deferred.succeed(answered, undefined) })
          )
        )
        yield* Effect.yieldNow()
        yield* storage.saveReply(yield* Messages.exitOf(request))
        yield* Deferred.await(answered)
        yield* Fiber.await(handler)

        const other = yield* Messages.getUser(2)
        const waiting = yield* Effect.fork(storage.registerReplyHandler(other))
        yield* Effect.yieldNow()
        yield* storage.unregisterReplyHandler(other.envelope.requestId)
        yield* Fiber.await(waiting)
      }).pipe(Effect.timeout("5 seconds"))
    )

    it.effect("hands out by id what is not answered", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const request = yield* Messages.getUser(1)
        const byId = storage.unprocessedMessagesById([request.envelope.requestId])
        yield* storage.saveRequest(request)
        assert.lengthOf(yield* byId, 1)
        yield* storage.saveReply(yield* Messages.exitOf(request))
        assert.lengthOf(yield* byId, 0)
      })
    )

    it.effect("hands out again what was read, after a reset of the shard or of the entity", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        yield* storage.saveRequest(yield* Messages.getUser(1))
        for (const reset of [storage.resetShards([Messages.address.shardId]), storage.resetAddress(Messages.address)]) {
          assert.deepStrictEqual(yield* unread, ids(1, 1))
          assert.deepStrictEqual(yield* unread, [])
          yield* reset
        }
        assert.deepStrictEqual(yield* unread, ids(1, 1))
      })
    )

    it.effect("hands out again what was answered, after its replies were cleared, without its interrupt", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const request = yield* Messages.getUser(1)
        yield* storage.saveRequest(request)
        yield* storage.saveEnvelope(yield* Messages.interruptOf(request))
        assert.deepStrictEqual(yield* unread, [{ id: 1 }, "Interrupt"])
        yield* storage.saveReply(yield* Messages.exitOf(request))
        yield* storage.clearReplies(request.envelope.requestId)
        assert.deepStrictEqual(yield* storage.repliesFor([request]), [])
        assert.deepStrictEqual(yield* unread, ids(1, 1))
      })
    )

    it.effect("forgets the messages and the replies of an entity that is cleared", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        const request = yield* Messages.streamed(1)
        yield* storage.saveRequest(request)
        const chunk = yield* Messages.chunkOf(request, 0)
        yield* storage.saveReply(chunk)
        yield* storage.saveEnvelope(yield* Messages.ackOf(request, chunk.reply.id))
        yield* storage.clearAddress(Messages.address)
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`SELECT id FROM cluster_messages UNION ALL SELECT id FROM cluster_replies`, [])
      })
    )

    it.effect("is made again over its own tables, by several runners at once", () =>
      Effect.gen(function* () {
        const storage = yield* emptied
        yield* storage.saveRequest(yield* Messages.getUser(1))
        const again = SqlMessageStorage.make().pipe(Effect.provide(ShardingConfig.layerDefaults))
        yield* Effect.all([again, again, again], { concurrency: 3 })
        assert.deepStrictEqual(yield* unread, ids(1, 1))
      })
    )
  })

for (const { make, name } of contestants) suite(name, make())
