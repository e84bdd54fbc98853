/**
 * One exchange with a backend: statements that leave in one write and end with one ReadyForQuery.
 *
 * All statements of an exchange share one Sync, so a failure skips the rest: what follows a failed BEGIN never runs.
 */
import * as Predicate from "effect/Predicate"
import type { CustomTypesConfig, QueryResult } from "pg"
import { makeResult, prepareValue } from "./driver.ts"
import type { Collector, ResultBuilder, Submittable, Writer } from "./driver.ts"

/** How values become JavaScript, by type OID. */
export type TypeParsers = CustomTypesConfig

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
  /** `false` sends the statement unnamed. */
  readonly prepare?: boolean | undefined
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

export interface Result extends QueryResult {
  /** The portal has more rows. */
  suspended: boolean
}

/** The prepared statements of one connection, by text; the least recently used one is closed at the limit. */
export class StatementCache {
  private readonly entries = new Map<string, { readonly name: string; prepared: boolean }>()
  private count = 0
  readonly limit: number
  constructor(limit: number) {
    this.limit = limit
  }

  /** The name for a text, whether the server has it prepared, and the names to close first. */
  lookup(text: string): { readonly name: string; readonly prepared: boolean; readonly close: ReadonlyArray<string> } {
    const entry = this.entries.get(text)
    if (entry !== undefined) {
      this.entries.delete(text)
      this.entries.set(text, entry)
      if (entry.prepared) return { name: entry.name, prepared: true, close: [] }
      entry.prepared = true
      return { name: entry.name, prepared: false, close: [entry.name] }
    }
    const close: Array<string> = []
    if (this.entries.size >= this.limit) {
      for (const [oldText, old] of this.entries) {
        this.entries.delete(oldText)
        close.push(old.name)
        break
      }
    }
    const name = `plinth_${this.count++}`
    this.entries.set(text, { name, prepared: true })
    return { name, prepared: false, close }
  }

  /** The server may or may not have this text prepared: close and parse it again at its next use. */
  doubt(text: string): void {
    const entry = this.entries.get(text)
    if (entry !== undefined) entry.prepared = false
  }
}

const isPortalStep = (step: Step): step is PortalStep => "fields" in step

/**
 * An exchange in flight, as node-postgres' client drives it. It is over at ReadyForQuery or when the connection is
 * lost, whichever comes first; the connection that owns it knows which.
 */
export class Exchange implements Submittable {
  readonly results: Array<Result> = []
  error: Error | undefined
  sent = false
  private current: (ResultBuilder & { suspended?: boolean }) | undefined
  private index = 0
  private readonly parsed: Array<string> = []
  private readonly collector: Collector
  readonly steps: ReadonlyArray<Step>
  private readonly cache: StatementCache | undefined
  private readonly types: TypeParsers | undefined

  constructor(
    collector: Collector,
    steps: ReadonlyArray<Step>,
    cache: StatementCache | undefined,
    types: TypeParsers | undefined
  ) {
    this.collector = collector
    this.steps = steps
    this.cache = cache
    this.types = types
  }

  submit(): null {
    const { collector } = this
    this.sent = true
    const [first] = this.steps
    if (this.steps.length === 1 && first !== undefined && !isPortalStep(first) && first.protocol === "simple") {
      collector.query(first.text)
    } else {
      try {
        for (const step of this.steps) this.write(collector, step)
      } catch (cause) {
        // A value that cannot be serialised. Its step and those behind it are not sent, so the Sync ends what was.
        this.handleError(cause instanceof Error ? cause : new Error(String(cause), { cause }))
      }
      collector.sync()
    }
    collector.stream.write(collector.take())
    return null
  }

  private write(writer: Writer, step: Step): void {
    if (isPortalStep(step)) {
      if (step.fetch === 0) writer.close({ type: "P", name: step.portal })
      else writer.execute({ portal: step.portal, rows: step.fetch })
      return
    }
    // Serialised before anything is written, so that a bad value leaves no half statement behind.
    const values = step.params.map(prepareValue)
    let name = ""
    if (step.prepare !== false && this.cache !== undefined) {
      const entry = this.cache.lookup(step.text)
      name = entry.name
      for (const old of entry.close) writer.close({ type: "S", name: old })
      if (!entry.prepared) {
        this.parsed.push(step.text)
        writer.parse({ name, text: step.text, types: [] })
      }
    } else {
      writer.parse({ name, text: step.text, types: [] })
    }
    const portal = step.portal?.name ?? ""
    writer.bind({ portal, statement: name, values, valueMapper: identity })
    writer.describe({ type: "P", name: portal })
    writer.execute({ portal, rows: step.portal?.fetch ?? 0 })
  }

  private fail(cause: unknown): void {
    this.error ??= cause instanceof Error ? cause : new Error(String(cause), { cause })
  }

  private begin(): ResultBuilder & { suspended?: boolean } {
    if (this.current === undefined) {
      const step = this.steps[Math.min(this.index, this.steps.length - 1)]
      this.current = makeResult(step?.rowMode, this.types)
      if (step !== undefined && isPortalStep(step)) this.current.addFields(step.fields)
    }
    return this.current
  }

  private complete(suspended: boolean): void {
    this.results.push(Object.assign(this.begin(), { suspended }))
    this.current = undefined
    this.index++
  }

  handleRowDescription(message: Parameters<Submittable["handleRowDescription"]>[0]): void {
    this.begin().addFields(message.fields)
  }

  handleDataRow(message: Parameters<Submittable["handleDataRow"]>[0]): void {
    if (this.error !== undefined) return
    const result = this.begin()
    try {
      result.addRow(result.parseRow(message.fields))
    } catch (cause) {
      this.fail(cause)
    }
  }

  handleCommandComplete(message: Parameters<Submittable["handleCommandComplete"]>[0]): void {
    this.begin().addCommandComplete(message)
    this.complete(false)
  }

  handlePortalSuspended(): void {
    this.complete(true)
  }

  handleEmptyQuery(): void {
    this.complete(false)
  }

  handleCopyInResponse(): void {
    this.collector.sendCopyFail("COPY FROM STDIN needs a stream of data")
    this.collector.stream.write(this.collector.take())
  }

  handleCopyData(): void {
    this.fail(new Error("COPY TO STDOUT needs a consumer of its data"))
  }

  handleReadyForQuery(): void {}

  /** Called by the client for an ErrorResponse, and for a lost connection. */
  handleError(error: Error): void {
    this.fail(error)
    if (this.cache === undefined) return
    // A Parse that failed, or one that the server skipped after a failure, left no statement behind.
    for (const text of this.parsed) this.cache.doubt(text)
    if (isStalePlan(error)) {
      for (const step of this.steps) if (!isPortalStep(step)) this.cache.doubt(step.text)
    }
  }
}

/** The prepared statement is gone (26000) or its result type changed under it (0A000): preparing it again helps. */
export const isStalePlan = (error: unknown): boolean =>
  Predicate.hasProperty(error, "code") &&
  (error.code === "26000" ||
    (error.code === "0A000" &&
      Predicate.hasProperty(error, "message") &&
      String(error.message).includes("cached plan must not change result type")))

const identity = (value: unknown): unknown => value
