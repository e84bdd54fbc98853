/**
 * Random programs of transactions: nested, joined, at the same time, failing, interrupted, with errors swallowed.
 */
import * as FastCheck from "effect/FastCheck"

/** What is done with a failure: it ends the enclosing transaction too, or is swallowed. */
type Care = { readonly swallowed: boolean }

export type Step =
  /** Keys from 0; inserting one that is there violates the primary key. */
  | ({ readonly do: "insert" | "update" | "delete"; readonly key: number; readonly value: number } & Care)
  /** Notes all rows that can be seen. */
  | ({ readonly do: "look" } & Care)
  | { readonly do: "afterCommit" | "afterRollback" }
  | (Block & Care)
  /** Nested transactions that are started at the same time; each failure is swallowed. */
  | { readonly do: "siblings"; readonly blocks: ReadonlyArray<Block> }

/** A transaction; "withTransaction" is that of `SqlClient`, the others are of `Transaction.run`. */
export interface Block {
  readonly do: "nested" | "withTransaction" | "required" | "requiresNew"
  readonly body: ReadonlyArray<Step>
  /** What comes after the body. An interruption meets it while it does nothing or while a statement runs. */
  readonly ending: "succeeds" | "fails" | "is interrupted" | "is interrupted in a statement"
}

export const isBlock = (step: Step): step is Block & Care =>
  step.do === "nested" || step.do === "withTransaction" || step.do === "required" || step.do === "requiresNew"

/** Transactions one after the other. */
export type Program = ReadonlyArray<Block>

const { array, boolean, constant, constantFrom, nat, oneof, record } = FastCheck

const swallowed = boolean()

const statement: FastCheck.Arbitrary<Step> = record({
  do: constantFrom("insert" as const, "insert" as const, "insert" as const, "update" as const, "delete" as const),
  key: nat(3),
  value: nat(99),
  swallowed
})

const simple: FastCheck.Arbitrary<Step> = oneof(
  { weight: 5, arbitrary: statement },
  { weight: 1, arbitrary: record({ do: constant("look" as const), swallowed }) },
  { weight: 2, arbitrary: record({ do: constantFrom("afterCommit" as const, "afterRollback" as const) }) }
)

const ending = constantFrom<Block["ending"]>(
  "succeeds",
  "succeeds",
  "succeeds",
  "fails",
  "is interrupted",
  "is interrupted in a statement"
)

/** Joining has no savepoint of its own, and so nothing that an interruption alone could undo. */
const joinedEnding = constantFrom<Block["ending"]>("succeeds", "succeeds", "fails")

const bodyOf = (depth: number): FastCheck.Arbitrary<ReadonlyArray<Step>> =>
  array(depth === 0 ? simple : oneof({ weight: 3, arbitrary: simple }, { weight: 2, arbitrary: inner(depth) }), {
    maxLength: 5,
    size: "max"
  })

const blockOf = (depth: number, doing: FastCheck.Arbitrary<Block["do"]>): FastCheck.Arbitrary<Block> =>
  record({ do: doing, body: bodyOf(depth - 1), ending })

const savepoint = constantFrom<Block["do"]>("nested", "withTransaction")

const inner = (depth: number): FastCheck.Arbitrary<Step> => {
  const swallowing = <B extends Block>(block: FastCheck.Arbitrary<B>) =>
    FastCheck.tuple(block, swallowed).map(([made, care]) => ({ ...made, swallowed: care }))
  const joined = record({ do: constant<Block["do"]>("required"), body: bodyOf(depth - 1), ending: joinedEnding })
  return oneof(
    { weight: 5, arbitrary: swallowing(blockOf(depth, savepoint)) },
    { weight: 1, arbitrary: swallowing(joined) },
    { weight: 1, arbitrary: swallowing(blockOf(depth, constant<Block["do"]>("requiresNew"))) },
    {
      weight: 2,
      arbitrary: record({
        do: constant("siblings" as const),
        blocks: array(blockOf(depth, savepoint), { minLength: 2, maxLength: 3 })
      })
    }
  )
}

export const program: FastCheck.Arbitrary<Program> = array(blockOf(4, savepoint), { minLength: 1, maxLength: 3 })
