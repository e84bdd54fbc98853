/**
 * What the demo prints, and whether its promises were kept.
 */
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"

export class Story extends Context.Tag("demo/Story")<
  Story,
  {
    readonly chapter: (title: string) => Effect.Effect<void>
    readonly say: (line: string) => Effect.Effect<void>
    /** Rows with aligned columns: numbers to the right. */
    readonly table: (rows: ReadonlyArray<ReadonlyArray<string | number>>) => Effect.Effect<void>
    /** A line with a check mark, or with a cross that makes the demo fail. */
    readonly promise: (text: string, kept: boolean) => Effect.Effect<void>
    readonly broken: Effect.Effect<ReadonlyArray<string>>
  }
>() {}

const colours = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined
const paint = (code: number, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text)

export const layer: Layer.Layer<Story> = Layer.effect(
  Story,
  Effect.gen(function* () {
    const broken = yield* Ref.make<ReadonlyArray<string>>([])
    return {
      broken: Ref.get(broken),
      chapter: (title) => Console.log(`\n${paint(1, title)}`),
      say: (line) => Console.log(`  ${line}`),
      promise: (text, kept) =>
        Effect.zipRight(
          kept ? Effect.void : Ref.update(broken, (all) => [...all, text]),
          Console.log(`  ${kept ? paint(32, "✓") : paint(31, "✗ BROKEN:")} ${text}`)
        ),
      table: (rows) => {
        const widths = (rows[0] ?? []).map((_, column) =>
          Math.max(...rows.map((row) => String(row[column] ?? "").length))
        )
        const lines = rows.map((row) =>
          row
            .map((cell, column) =>
              typeof cell === "number" ? String(cell).padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)
            )
            .join("  ")
            .trimEnd()
        )
        return Effect.forEach(lines, (line) => Console.log(`    ${line}`), { discard: true })
      }
    }
  })
)

/** Runs an effect and says how long it took. */
export const timed = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  sentence: (result: A) => string
): Effect.Effect<A, E, R | Story> =>
  Effect.gen(function* () {
    const { say } = yield* Story
    const [took, result] = yield* Effect.timed(effect)
    yield* say(`${sentence(result)} in ${seconds(took)}.`)
    return result
  })

export const seconds = (duration: Duration.Duration): string => `${Duration.toSeconds(duration).toFixed(2)} s`
