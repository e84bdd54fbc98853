/**
 * Cuts a script where PostgreSQL needs it: into transactions that are as long as possible, and statements that run alone.
 */
import { mayShareTransaction } from "./Boundary.ts"
import type { Script, Statement } from "./MigrationFile.ts"

/** What runs at a stretch, and is done or not done as a whole. */
export type Segment =
  | { readonly _tag: "Transaction"; readonly statements: ReadonlyArray<Statement> }
  | {
      readonly _tag: "Alone"
      readonly statements: readonly [Statement]
      readonly why: string
      readonly concurrently: boolean
    }

/**
 * The segments of what is left of a script after its first `done` statements.
 *
 * `ALTER TYPE .. ADD VALUE` ends its transaction before the next statement of another kind: whether that one uses the
 * value cannot be seen from its text (a function or a default may), and a needless commit only costs atomicity that
 * resuming makes up for.
 */
export const segments = (script: Script, done = 0): ReadonlyArray<Segment> => {
  const cut: Array<Segment> = []
  let together: Array<Statement> = []
  const commit = (): void => {
    if (together.length > 0) cut.push({ _tag: "Transaction", statements: together })
    together = []
  }
  for (const statement of script.statements.slice(done)) {
    const { boundary } = statement
    const previous = together.at(-1)
    if (previous?.boundary._tag === "CommitAfter" && boundary._tag !== "CommitAfter") commit()
    if (boundary._tag === "Alone") {
      commit()
      cut.push({ _tag: "Alone", statements: [statement], why: boundary.why, concurrently: boundary.concurrently })
    } else if (!script.directives.noTransaction) {
      together.push(statement)
    } else if (mayShareTransaction(statement.normalized)) {
      // By itself, yet in a transaction with its progress record, so that it is never run twice.
      commit()
      together.push(statement)
    } else {
      commit()
      cut.push({ _tag: "Alone", statements: [statement], why: "the file asks for no transaction", concurrently: false })
    }
  }
  commit()
  return cut
}

/** Everything in one transaction, together with the row in the history. */
export const isTransactional = (script: Script): boolean => {
  const [first, ...others] = segments(script)
  return others.length === 0 && first?._tag !== "Alone"
}
