/**
 * Requests and replies of a cluster, as its storage suites save them.
 */
import * as EntityAddress from "@effect/cluster/EntityAddress"
import * as EntityId from "@effect/cluster/EntityId"
import { EntityType } from "@effect/cluster/EntityType"
import * as Envelope from "@effect/cluster/Envelope"
import * as Message from "@effect/cluster/Message"
import * as Reply from "@effect/cluster/Reply"
import * as ShardId from "@effect/cluster/ShardId"
import * as Snowflake from "@effect/cluster/Snowflake"
import * as Headers from "@effect/platform/Headers"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const payload = { id: Schema.Union(Schema.Number, Schema.String) }

const GetUser = Rpc.make("GetUser", { payload })

const Keyed = Rpc.make("Keyed", { payload, primaryKey: ({ id }) => String(id) })

const Streamed = Rpc.make("Streamed", {
  payload,
  primaryKey: ({ id }) => String(id),
  success: RpcSchema.Stream({ success: Schema.String, failure: Schema.Never })
})

/** Every request is sent to this one. */
export const address = EntityAddress.make({
  shardId: ShardId.make("default", 1),
  entityType: EntityType.make("test"),
  entityId: EntityId.make("1")
})

const nextId = Effect.map(Snowflake.Generator, (generator) => generator.unsafeNext())

interface Parts<R extends Rpc.Any> {
  readonly rpc: R
  readonly tag: Rpc.Tag<R>
  readonly payload: Rpc.Payload<R>
  readonly context: Context.Context<Rpc.Context<R>>
}

const request = <R extends Rpc.Any>({ context, payload, rpc, tag }: Parts<R>) =>
  Effect.map(
    nextId,
    (requestId) =>
      new Message.OutgoingRequest<R>({
        envelope: Envelope.makeRequest<R>({
          requestId,
          address,
          tag,
          payload,
          traceId: "noop",
          spanId: "noop",
          sampled: false,
          headers: Headers.empty
        }),
        context,
        rpc,
        lastReceivedReply: Option.none(),
        respond: () => Effect.void
      })
  )

type Id = string | number

const empty = Context.empty()

export const getUser = (id: Id) =>
  request<typeof GetUser>({ rpc: GetUser, tag: "GetUser", payload: { id }, context: empty })

/** The same id is the same request. */
export const keyed = (id: Id) =>
  request<typeof Keyed>({ rpc: Keyed, tag: "Keyed", payload: Keyed.payloadSchema.make({ id }), context: empty })

/** The same id is the same request, answered in chunks. */
export const streamed = (id: Id) =>
  request<typeof Streamed>({
    rpc: Streamed,
    tag: "Streamed",
    payload: Streamed.payloadSchema.make({ id }),
    context: empty
  })

type OfUser = Message.OutgoingRequest<typeof GetUser>
type OfStream = Message.OutgoingRequest<typeof Streamed>

export const exitOf = ({ context, envelope: { requestId }, rpc }: OfUser) =>
  Effect.map(
    nextId,
    (id) =>
      new Reply.ReplyWithContext<typeof GetUser>({
        reply: new Reply.WithExit<typeof GetUser>({ id, requestId, exit: Exit.void }),
        context,
        rpc
      })
  )

export const endOf = ({ context, envelope: { requestId }, rpc }: OfStream) =>
  Effect.map(
    nextId,
    (id) =>
      new Reply.ReplyWithContext<typeof Streamed>({
        reply: new Reply.WithExit<typeof Streamed>({ id, requestId, exit: Exit.void }),
        context,
        rpc
      })
  )

export const chunkOf = ({ context, envelope: { requestId }, rpc }: OfStream, sequence: number) =>
  Effect.map(
    nextId,
    (id) =>
      new Reply.ReplyWithContext<typeof Streamed>({
        reply: new Reply.Chunk<typeof Streamed>({ id, requestId, sequence, values: [`value ${sequence}`] }),
        context,
        rpc
      })
  )

/** Says that a chunk was received. */
export const ackOf = ({ envelope: { requestId }, rpc }: OfStream, replyId: Snowflake.Snowflake) =>
  Effect.map(
    nextId,
    (id) => new Message.OutgoingEnvelope({ envelope: new Envelope.AckChunk({ id, address, requestId, replyId }), rpc })
  )

/** Takes a request back. */
export const interruptOf = ({ envelope: { requestId } }: OfUser) =>
  Effect.map(nextId, (id) => Message.OutgoingEnvelope.interrupt({ address, id, requestId }))
