/**
 * One exchange with a backend: statements that leave in one write and end with one ReadyForQuery.
 *
 * All statements of an exchange share one Sync, so a failure skips the rest: what follows a failed BEGIN never runs.
 */
import type { FieldDef, QueryResult, QueryResultRow } from "pg"
import type { DatabaseError } from "../../DatabaseError.ts"
import { prepareValue } from "./driver.ts"
import type { Writer } from "./driver.ts"
import { makeResult, noRows, RowShape } from "./Result.ts"
import type { Result, TypeParsers } from "./Result.ts"
import { isPlanned, isStalePlan } from "./StatementCache.ts"
import type { Prepared, StatementCache } from "./StatementCache.ts"

/**
 * A statement as it goes to the server.
 */
export interface Query {
  readonly text: string
  readonly params: ReadonlyArray<unknown>
  /** Rows as objects, or as arrays in the order of the columns. */
  readonly rowMode?: "array" | undefined
  /** `simple` allows several statements in `text`, takes no parameters, and must be alone in its exchange. */
  readonly protocol?: "extended" | "simple" | undefined
  /** Keep the portal open under this name and stop after `fetch` rows. */
  readonly portal?: { readonly name: string; readonly fetch: number } | undefined
  /**
   * `false` sends the statement unnamed, `true` prepares it whatever it is.
   *
   * @default prepared when PostgreSQL revalidates its plan: SELECT, VALUES, TABLE, WITH, INSERT, UPDATE, DELETE, MERGE
   */
  readonly prepare?: boolean | undefined
  /**
   * "stock" is for what Plinth asks for itself: an application may have said that its own booleans or numbers become
   * something else.
   *
   * @default the connection's
   */
  readonly types?: "stock" | undefined
}

/** More rows of, or the end of, a portal opened by an earlier exchange of the same transaction. */
export interface PortalStep {
  readonly portal: string
  /** Rows to fetch; 0 closes the portal. */
  readonly fetch: number
  readonly rowMode?: "array" | undefined
  /** The description that came with the first rows. */
  readonly fields: QueryResult["fields"]
}

export type Step = Query | PortalStep

export interface RunOptions {
  readonly operation?: string | undefined
  /** Refuse to send when the backend is not inside a transaction block at that moment. */
  readonly inTransaction?: boolean | undefined
  /** The pool drops the connection when the answer takes longer than this many milliseconds; looked at every second. */
  readonly replyWithin?: number | undefined
  /**
   * It ends whatever becomes of its fiber, which cannot be interrupted here: neither cancelled nor withdrawn. Spares the
   * eight operations with which a fiber gets ready for that.
   */
  readonly toTheEnd?: boolean | undefined
  /** The steps from this one on are a batch, and a failure says which of them it was. */
  readonly batchFrom?: number | undefined
  /** And this one is the first behind the batch. @default the batch goes to the end */
  readonly batchTo?: number | undefined
}

/** `unbegun`: the server has certainly executed none of it, so running it elsewhere cannot run it twice. */
export type Done = (error: DatabaseError | undefined, results: ReadonlyArray<Result>, unbegun: boolean) => void

const isPortalStep = (step: Step): step is PortalStep => "fields" in step

const isSimple = (steps: ReadonlyArray<Step>): steps is readonly [Query] => {
  const [first] = steps
  return steps.length === 1 && first !== undefined && !isPortalStep(first) && first.protocol === "simple"
}

/** An exchange from its queue to its ReadyForQuery. */
export class Exchange {
  state: "queued" | "sent" | "settled" = "queued"
  /** Set while it is being cancelled: its owner hears of its end only when the connection can be used again. */
  onStopped: (() => void) | undefined
  readonly results: Array<Result> = []
  error: Error | undefined
  /** The server has answered something, so it may have executed something. */
  begun = false
  readonly steps: ReadonlyArray<Step>
  readonly options: RunOptions
  readonly onDone: Done
  /** The prepared statement of each step. */
  private readonly statements: Array<Prepared | undefined> = []
  /** The statements that the server has prepared only if all goes well. */
  private parsed: Array<Prepared> | undefined
  private shape: RowShape | undefined
  private rows: Array<QueryResultRow> = []

  constructor(steps: ReadonlyArray<Step>, options: RunOptions, onDone: Done) {
    this.steps = steps
    this.options = options
    this.onDone = onDone
  }

  get isSimple(): boolean {
    return isSimple(this.steps)
  }

  /** Statements in it, at most. */
  get statementCount(): number {
    return this.steps.reduce((sum, step) => sum + ("text" in step ? step.text.split(";").length : 1), 0)
  }

  /** Serialises all messages. A value that cannot be serialised fails the exchange, and nothing of it is sent. */
  send(writer: Writer, cache: StatementCache | undefined): void {
    this.state = "sent"
    const { steps } = this
    if (isSimple(steps)) {
      this.begun = true
      return writer.query(steps[0].text)
    }
    try {
      // All before anything is written: a value that cannot be serialised leaves no half exchange behind.
      const values = steps.map((step) => (isPortalStep(step) ? [] : step.params.map(prepareValue)))
      for (const [i, step] of steps.entries()) this.write(writer, step, values[i] ?? [], cache)
    } catch (cause) {
      this.fail(cause)
    }
    writer.sync()
  }

  private write(writer: Writer, step: Step, values: ReadonlyArray<unknown>, cache: StatementCache | undefined): void {
    if (isPortalStep(step)) {
      this.statements.push(undefined)
      if (step.fetch === 0) writer.close({ type: "P", name: step.portal })
      else writer.execute({ portal: step.portal, rows: step.fetch })
      return
    }
    const statement =
      cache !== undefined && (step.prepare ?? isPlanned(step.text))
        ? cache.use(step.text, (name) => writer.close({ type: "S", name }))
        : undefined
    this.statements.push(statement)
    if (statement?.ready !== true) {
      writer.parse({ name: statement?.name ?? "", text: step.text, types: [] })
      if (statement !== undefined) {
        statement.ready = true
        ;(this.parsed ??= []).push(statement)
      }
    }
    const portal = step.portal?.name ?? ""
    writer.bind({ portal, statement: statement?.name ?? "", values })
    if (statement?.shape === undefined) writer.describe({ type: "P", name: portal })
    writer.execute({ portal, rows: step.portal?.fetch ?? 0 })
  }

  describe(fields: Array<FieldDef>, types: TypeParsers | undefined): void {
    this.begun = true
    try {
      const shape = fields.length === 0 ? noRows : new RowShape(fields, this.typesOf(types))
      this.shape = shape
      const statement = this.statements[this.results.length]
      if (statement !== undefined) statement.shape = shape
    } catch (cause) {
      this.fail(cause)
    }
  }

  row(values: ReadonlyArray<string | null>, types: TypeParsers | undefined): void {
    if (this.error !== undefined) return
    const shape = this.currentShape(types)
    try {
      this.rows.push(this.step?.rowMode === "array" ? shape.array(values) : shape.object(values))
    } catch (cause) {
      this.fail(cause)
    }
  }

  /** One statement has ended. */
  complete(tag: string, suspended: boolean, types: TypeParsers | undefined): void {
    this.begun = true
    this.results.push(makeResult(this.currentShape(types), this.rows, tag, suspended))
    this.rows = []
    this.shape = undefined
  }

  fail(cause: unknown): void {
    if (this.isCommitted) return
    this.error ??= cause instanceof Error ? cause : new Error(String(cause), { cause })
  }

  /** After ReadyForQuery or the loss of the connection: what is not known to be prepared is prepared again. */
  end(): void {
    if (this.error === undefined) return
    // A Parse that failed, or one that the server skipped after a failure, left no statement behind.
    for (const statement of this.parsed ?? []) statement.ready = false
    // What it failed at may have been planned for columns that are of another type by now.
    const failed = this.statements[this.results.length]
    if (failed !== undefined) failed.ready = false
    if (isStalePlan(this.error)) {
      for (const statement of this.statements) if (statement !== undefined) statement.ready = false
    }
  }

  /** Of a batch, the one that the server failed at; none when it was the whole, as at its commit. */
  get failedStatement(): number | undefined {
    const { batchFrom, batchTo = this.steps.length } = this.options
    const { length } = this.results
    return batchFrom === undefined || length < batchFrom || length >= batchTo ? undefined : length - batchFrom
  }

  /**
   * The server reads Sync after COMMIT, and may end the session in between: what was answered has happened all the same.
   * A simple query goes on behind its COMMIT.
   */
  private get isCommitted(): boolean {
    return !this.isSimple && this.results.length === this.steps.length && this.results.at(-1)?.command === "COMMIT"
  }

  private typesOf(types: TypeParsers | undefined): TypeParsers | undefined {
    const { step } = this
    return step !== undefined && "text" in step && step.types === "stock" ? undefined : types
  }

  private get step(): Step | undefined {
    return this.steps[Math.min(this.results.length, this.steps.length - 1)]
  }

  private currentShape(types: TypeParsers | undefined): RowShape {
    if (this.shape === undefined) {
      const { step } = this
      this.shape =
        step !== undefined && isPortalStep(step)
          ? new RowShape(step.fields, types)
          : (this.statements[this.results.length]?.shape ?? noRows)
    }
    return this.shape
  }
}
