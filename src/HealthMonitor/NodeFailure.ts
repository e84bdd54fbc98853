/**
 * Why one node of several could not be read, as a part of a row, so that `evaluate` stays pure.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { DatabaseError } from "../DatabaseError.ts"
import { UnknownReason } from "../HealthCheck.ts"
import type { Node } from "../HealthCheck.ts"

export const NodeFailure = Schema.TaggedStruct("NodeFailure", {
  /** The node is away, rather than its answer strange. */
  isAway: Schema.Boolean,
  description: Schema.String
})

export type NodeFailure = typeof NodeFailure.Type

export const fromError = (node: Node, error: DatabaseError): NodeFailure => ({
  _tag: "NodeFailure",
  isAway: Either.isLeft(node.facts) || error.isConnectionFailure,
  description: error.description
})

export const toUnknown = (node: string, { description, isAway }: NodeFailure): UnknownReason =>
  isAway
    ? UnknownReason.Unreachable({ node, description })
    : UnknownReason.Failed({ description: `${node} could not be read: ${description}` })
