/**
 * `sql` templates of `@effect/sql` that cost less to run.
 *
 * The stock statement compiles its text, opens a scope around a constant and makes a span with six attributes at every
 * execution: together more than the pool and the driver. Here the text of a template is compiled once, and a statement
 * goes straight to its connection unless a tracer is installed or the statement has to be transformed first.
 */
import type { Connection, Row } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlStatement from "@effect/sql/Statement"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"
import { NodeInspectSymbol } from "effect/Inspectable"
import type * as Stream from "effect/Stream"
import { isTraced } from "../internal/isTraced.ts"

type TransformRows = (<A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

interface Executor {
  /** Where the statements of a fiber with this context run. */
  readonly connectionOf: (context: Context.Context<never>) => Connection
  readonly transformRows: TransformRows
}

/** Makes the same statements as `stock`, which also runs them where there is something to trace or to transform. */
export const make = (stock: SqlStatement.Constructor, executor: Executor): SqlStatement.Constructor => {
  // Of templates without fragments the text is always the same.
  const texts = new WeakMap<TemplateStringsArray, string>()

  const template = (strings: TemplateStringsArray, args: ReadonlyArray<unknown>): SqlStatement.Statement<Row> => {
    const origin = () => stock(strings, ...args)
    if (!args.every(isParameter)) return new PlannedStatement(executor, origin, undefined, [])
    let text = texts.get(strings)
    if (text === undefined) {
      text = origin().compile()[0]
      texts.set(strings, text)
    }
    return new PlannedStatement(executor, origin, text, args)
  }

  function sql(strings: TemplateStringsArray, ...args: ReadonlyArray<unknown>): SqlStatement.Statement<Row>
  function sql(name: string): SqlStatement.Identifier
  function sql(strings: TemplateStringsArray | string, ...args: ReadonlyArray<unknown>) {
    return typeof strings === "string" ? stock(strings) : template(strings, args)
  }
  const unsafe = <A extends object>(text: string, params?: ReadonlyArray<unknown>): SqlStatement.Statement<A> =>
    new PlannedStatement<A>(executor, () => stock.unsafe<A>(text, params), text, params ?? [])

  return Object.assign(sql, stock, { unsafe })
}

/** Nothing that `stock` would take for a fragment or a helper; what has a `_tag` is left for it to judge. */
const isParameter = (value: unknown): boolean =>
  typeof value !== "object" || value === null || !(SqlStatement.FragmentId in value || "_tag" in value)

class PlannedStatement<A> extends Effectable.Class<ReadonlyArray<A>, SqlError> implements SqlStatement.Statement<A> {
  private readonly executor: Executor
  private readonly origin: () => SqlStatement.Statement<A>
  private readonly text: string | undefined
  private readonly params: ReadonlyArray<unknown>
  private made: SqlStatement.Statement<A> | undefined

  constructor(
    executor: Executor,
    origin: () => SqlStatement.Statement<A>,
    text: string | undefined,
    params: ReadonlyArray<unknown>
  ) {
    super()
    this.executor = executor
    this.origin = origin
    this.text = text
    this.params = params
  }

  private get stock(): SqlStatement.Statement<A> {
    return (this.made ??= this.origin())
  }

  private run<B>(
    onConnection: (connection: Connection, sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<B, SqlError>,
    inStock: (statement: SqlStatement.Statement<A>) => Effect.Effect<B, SqlError>,
    withoutTransform = false
  ): Effect.Effect<B, SqlError> {
    return Effect.withFiberRuntime((fiber) => {
      if (isObserved(fiber)) return inStock(this.stock)
      const [sql, params] = this.compile(withoutTransform)
      return onConnection(this.executor.connectionOf(fiber.currentContext), sql, params)
    })
  }

  get [SqlStatement.FragmentId]() {
    return this.stock[SqlStatement.FragmentId]
  }

  get segments() {
    return this.stock.segments
  }

  compile(withoutTransform = false): readonly [sql: string, params: ReadonlyArray<unknown>] {
    return this.text === undefined ? this.stock.compile(withoutTransform) : [this.text, this.params]
  }

  override commit(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.run(
      (connection, sql, params) => connection.execute(sql, params, this.executor.transformRows),
      (statement) => statement
    )
  }

  get withoutTransform(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.run(
      (connection, sql, params) => connection.execute(sql, params, undefined),
      (statement) => statement.withoutTransform,
      true
    )
  }

  get raw(): Effect.Effect<unknown, SqlError> {
    return this.run(
      (connection, sql, params) => connection.executeRaw(sql, params),
      (statement) => statement.raw,
      true
    )
  }

  get values(): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return this.run(
      (connection, sql, params) => connection.executeValues(sql, params),
      (statement) => statement.values
    )
  }

  get unprepared(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.run(
      (connection, sql, params) => connection.executeUnprepared(sql, params, this.executor.transformRows),
      (statement) => statement.unprepared
    )
  }

  get stream(): Stream.Stream<A, SqlError> {
    return this.stock.stream
  }

  /** Without the parameters, which may be secrets. */
  toJSON(): unknown {
    return { _id: "@effect/sql/Statement", sql: this.compile()[0] }
  }

  [NodeInspectSymbol](): unknown {
    return this.toJSON()
  }
}

const isObserved = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  isTraced(fiber) || fiber.getFiberRef(SqlStatement.currentTransformer)._tag === "Some"
