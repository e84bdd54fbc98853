/**
 * What a program of transactions leaves behind, by a model in memory.
 */
import { isBlock } from "./program.ts"
import type { Block, Program, Step } from "./program.ts"

type Rows = Map<number, number>

/** A transaction with its own connection. */
interface Session {
  /** Enclosing transactions with other connections: each has its own keys, so that none waits for another. */
  readonly number: number
  /** What it has changed; undefined is deleted. */
  changes: Map<number, number | undefined>
  /** A statement has failed since the last savepoint. */
  failed: boolean
  /** afterRollback of savepoints that were undone. */
  readonly undone: Array<string>
}

interface Level {
  readonly session: Session
  afterCommit: Array<string>
  afterRollback: Array<string>
}

/** "ok", or why not. */
type Outcome = string

export const keysPerSession = 10

export interface Behaviour {
  readonly log: ReadonlyArray<string>
  readonly rows: ReadonlyArray<readonly [number, number]>
}

/** `entered` are the siblings in the order in which they came to run, since nobody promises one. */
export const predict = (program: Program, entered: ReadonlyArray<string>): Behaviour => {
  const log: Array<string> = []
  const committed: Rows = new Map()

  const visible = ({ changes }: Session): Rows => {
    const rows = new Map(committed)
    for (const [key, value] of changes) {
      if (value === undefined) rows.delete(key)
      else rows.set(key, value)
    }
    return rows
  }

  const runBody = (steps: ReadonlyArray<Step>, level: Level, path: string): Outcome => {
    for (const [index, step] of steps.entries()) {
      const outcome = runStep(step, level, `${path}.${index}`)
      if (outcome !== "ok" && !("swallowed" in step && step.swallowed)) return outcome
    }
    return "ok"
  }

  const runStep = (step: Step, level: Level, path: string): Outcome => {
    if (isBlock(step)) return noted(path, runBlock(step, level, path))
    switch (step.do) {
      case "afterCommit":
      case "afterRollback":
        level[step.do].push(`${step.do} ${path}`)
        return "ok"
      case "siblings": {
        const order = step.blocks.map((block, index) => ({ block, path: `${path}.${index}` }))
        const place = (sibling: { readonly path: string }) => entered.indexOf(sibling.path)
        for (const sibling of order.sort((a, b) => place(a) - place(b))) {
          noted(sibling.path, runBlock(sibling.block, level, sibling.path))
        }
        return "ok"
      }
      default:
        return noted(path, runStatement(step, level.session, path))
    }
  }

  const noted = (path: string, outcome: Outcome): Outcome => {
    log.push(`${path} ${outcome}`)
    return outcome
  }

  const runStatement = (
    step: Extract<Step, { readonly do: "insert" | "update" | "delete" | "look" }>,
    session: Session,
    path: string
  ): Outcome => {
    if (session.failed) return "TransactionAborted"
    const rows = visible(session)
    if (step.do === "look") {
      log.push(`${path} sees ${inWords(rows)}`)
      return "ok"
    }
    const key = session.number * keysPerSession + step.key
    if (step.do === "insert" && rows.has(key)) {
      session.failed = true
      return "UniqueViolation"
    }
    if (step.do === "insert" || rows.has(key)) session.changes.set(key, step.do === "delete" ? undefined : step.value)
    return "ok"
  }

  const endOf = (block: Block, level: Level, path: string): Outcome => {
    const outcome = runBody(block.body, level, path)
    if (outcome !== "ok" || block.ending === "succeeds") return outcome
    return block.ending === "fails" ? "boom" : "interrupted"
  }

  const runBlock = (block: Block, parent: Level | undefined, path: string): Outcome => {
    if (parent === undefined || block.do === "requiresNew") return runOutermost(block, parent, path)
    return block.do === "required" ? endOf(block, parent, path) : runNested(block, parent, path)
  }

  const runNested = (block: Block, parent: Level, path: string): Outcome => {
    const { session } = parent
    if (session.failed) return "TransactionAborted"
    const before = new Map(session.changes)
    const level: Level = { session, afterCommit: [], afterRollback: [] }
    const ended = endOf(block, level, path)
    const outcome = ended === "ok" && session.failed ? "TransactionAborted" : ended
    if (outcome === "ok") {
      parent.afterCommit.push(...level.afterCommit)
      parent.afterRollback.push(...level.afterRollback)
    } else {
      session.changes = before
      session.failed = false
      session.undone.push(...level.afterRollback)
    }
    return outcome
  }

  const runOutermost = (block: Block, parent: Level | undefined, path: string): Outcome => {
    const number = parent === undefined ? 0 : parent.session.number + 1
    const session: Session = { number, changes: new Map(), failed: false, undone: [] }
    const level: Level = { session, afterCommit: [], afterRollback: [] }
    const ended = endOf(block, level, path)
    const outcome = ended === "ok" && session.failed ? "TransactionAborted" : ended
    if (outcome === "ok") {
      const rows = visible(session)
      committed.clear()
      for (const [key, value] of rows) committed.set(key, value)
    }
    log.push(...session.undone, ...(outcome === "ok" ? level.afterCommit : level.afterRollback))
    return outcome
  }

  for (const [index, block] of program.entries()) noted(`${index}`, runBlock(block, undefined, `${index}`))
  return { log, rows: sorted(committed) }
}

const sorted = (rows: Rows) => [...rows].sort(([a], [b]) => a - b)

export const inWords = (rows: Iterable<readonly [number, number]>) =>
  [...rows]
    .sort(([a], [b]) => a - b)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ")
