/**
 * What judging a statement costs: new to the classifier (goal: below 5 us), and met before (goal: below 100 ns); beside it
 * the tokenizer alone and PostgreSQL's own parser. Figures are the medians and the best of many short batches: on a shared
 * machine the best is what the code costs and the median what it was given.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { SqlClassifier, SqlText } from "effect-plinth"
import { loadModule, parseSync } from "libpg-query"

const quick = process.argv.includes("--quick")
const batches = quick ? 200 : 2000

const statements = {
  point: "SELECT * FROM orders WHERE id = $1",
  join:
    "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id " +
    "WHERE o.created_at > now() - interval '7 days' AND o.status = ANY($1) ORDER BY o.created_at DESC LIMIT 20",
  report:
    "WITH recent AS (SELECT customer_id, sum(total) AS total, count(*) AS n FROM orders WHERE created_at >= $1 GROUP BY 1) " +
    "SELECT c.id, c.name, coalesce(r.total, 0) AS total, CASE WHEN r.n > 10 THEN 'often' ELSE 'seldom' END AS kind, " +
    "row_number() OVER (PARTITION BY c.country ORDER BY r.total DESC NULLS LAST) AS rank FROM customers c " +
    "LEFT JOIN recent r ON r.customer_id = c.id AND c.active WHERE c.country IN ($2, $3, $4) OFFSET $5 LIMIT $6",
  write: "INSERT INTO orders (customer_id, total, note) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET total = $2"
}

interface Figure {
  readonly best: number
  readonly median: number
}

/** Microseconds per call. */
const measure = (call: () => unknown, calls: number): Figure => {
  const times = Array.from({ length: batches }, () => {
    const begin = performance.now()
    for (let i = 0; i < calls; i++) call()
    return ((performance.now() - begin) * 1000) / calls
  }).sort((a, b) => a - b)
  return { best: times[0] ?? 0, median: times[Math.floor(times.length / 2)] ?? 0 }
}

const shown = ({ best, median }: Figure): string => `${best.toFixed(2).padStart(9)} ${median.toFixed(2).padStart(9)}`

export const main: Effect.Effect<void> = Effect.gen(function* () {
  yield* Effect.promise(loadModule)
  yield* Console.log("microseconds per statement            chars      best    median")
  const line = (name: string, chars: number, figure: Figure) =>
    Console.log(`${name.padEnd(34)} ${String(chars).padStart(8)} ${shown(figure)}`)
  for (const [name, sql] of Object.entries(statements)) {
    const fresh = measure(() => SqlClassifier.classify(sql, SqlClassifier.builtin), 50)
    yield* line(`classify, new: ${name}`, sql.length, fresh)
    const classifier = SqlClassifier.make(SqlClassifier.builtin)
    yield* line(
      `classify, met before: ${name}`,
      sql.length,
      measure(() => classifier.classify(sql), 5000)
    )
    yield* line(
      `tokenize: ${name}`,
      sql.length,
      measure(() => SqlText.tokenize(sql), 50)
    )
    yield* line(
      `libpg-query parse: ${name}`,
      sql.length,
      measure(() => parseSync(sql), 1)
    )
  }
})
