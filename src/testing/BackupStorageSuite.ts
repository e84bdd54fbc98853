/**
 * What every `BackupStorage` must do, as cases for any test runner: run each against a storage of yours.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { BackupError, BackupErrorReason, BackupStorage, Draft } from "../Backup.ts"

/**
 * The storage does something else than it must.
 *
 * @since 0.1.0
 * @category errors
 */
export class StorageViolation extends Data.TaggedError("StorageViolation")<{
  readonly rule: string
  readonly expected: unknown
  readonly actual: unknown
}> {
  override get message(): string {
    return `${this.rule}: expected ${JSON.stringify(this.expected)}, got ${JSON.stringify(this.actual)}`
  }
}

/**
 * One rule. `run` fails with a `StorageViolation` where it is broken.
 *
 * @since 0.1.0
 * @category models
 */
export interface Case<E, R> {
  readonly name: string
  readonly run: Effect.Effect<void, E | BackupError | StorageViolation, R | Scope.Scope>
}

const label = "20251122T173412Z-0f3a9c"
const other = "20251122T173413Z-000001"

const content = new TextEncoder().encode("first, second, third")

const check = (rule: string, actual: unknown, expected: unknown): Effect.Effect<void, StorageViolation> =>
  JSON.stringify(actual) === JSON.stringify(expected)
    ? Effect.void
    : Effect.fail(new StorageViolation({ rule, expected, actual }))

const failsWith = <A, R>(
  rule: string,
  effect: Effect.Effect<A, BackupError, R>,
  reasons: ReadonlyArray<BackupErrorReason>
): Effect.Effect<void, StorageViolation, R> =>
  Effect.matchEffect(effect, {
    onFailure: (error) =>
      reasons.includes(error.reason)
        ? Effect.void
        : Effect.fail(new StorageViolation({ rule, expected: reasons, actual: error.reason })),
    onSuccess: () => Effect.fail(new StorageViolation({ rule, expected: reasons, actual: "success" }))
  })

const writeFile = (draft: Draft, name: string, pieces: ReadonlyArray<Uint8Array>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const file = yield* draft.create(name)
      for (const piece of pieces) yield* file.write(piece)
      yield* file.finish
    })
  )

const readFile = (storage: BackupStorage, of: string, name: string) =>
  Effect.map(Stream.runCollect(storage.read(of, name)), (chunks) => {
    const bytes = [...chunks].flatMap((chunk) => [...chunk])
    return new TextDecoder().decode(Uint8Array.from(bytes))
  })

/** A published backup with a manifest, an archive and an empty file. */
const publish = (storage: BackupStorage, as: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const lock = yield* storage.lock({})
      const draft = yield* lock.draft(as)
      yield* writeFile(draft, "base.tar", [content.subarray(0, 7), content.subarray(7)])
      yield* writeFile(draft, "empty", [])
      yield* writeFile(draft, "manifest.json", [new TextEncoder().encode(as)])
      yield* draft.publish
    })
  )

/**
 * The cases for a storage; `fresh` makes a new, empty one each time.
 *
 * @since 0.1.0
 * @category suites
 */
export const cases = <E, R>(fresh: Effect.Effect<BackupStorage, E, R>): ReadonlyArray<Case<E, R>> => {
  const rule = (
    name: string,
    body: (storage: BackupStorage) => Effect.Effect<void, BackupError | StorageViolation, Scope.Scope>
  ): Case<E, R> => ({ name, run: Effect.flatMap(fresh, body) })

  return [
    rule("holds nothing at first", (storage) =>
      Effect.gen(function* () {
        yield* check("labels", yield* storage.labels, [])
        yield* check("leftovers", yield* storage.hasLeftovers, false)
      })
    ),
    rule("gives back what was published, byte for byte", (storage) =>
      Effect.gen(function* () {
        yield* publish(storage, label)
        yield* check("labels", yield* storage.labels, [label])
        const files = [...(yield* storage.files(label))].sort((left, right) => (left.name < right.name ? -1 : 1))
        yield* check("files", files, [
          { name: "base.tar", bytes: content.length },
          { name: "empty", bytes: 0 },
          { name: "manifest.json", bytes: label.length }
        ])
        yield* check("base.tar", yield* readFile(storage, label, "base.tar"), new TextDecoder().decode(content))
        yield* check("empty", yield* readFile(storage, label, "empty"), "")
      })
    ),
    rule("shows nothing of a draft until it is published", (storage) =>
      Effect.gen(function* () {
        const lock = yield* storage.lock({})
        const draft = yield* lock.draft(label)
        yield* writeFile(draft, "manifest.json", [content])
        yield* check("labels before", yield* storage.labels, [])
        yield* failsWith("files before", storage.files(label), ["NotFound"])
        yield* failsWith("read before", Stream.runDrain(storage.read(label, "manifest.json")), ["NotFound"])
        yield* draft.publish
        yield* check("labels after", yield* storage.labels, [label])
      })
    ),
    rule("forgets a draft whose scope ends without publishing, and takes its label again", (storage) =>
      Effect.gen(function* () {
        const lock = yield* storage.lock({})
        const scope = yield* Scope.make()
        const draft = yield* Scope.extend(lock.draft(label), scope)
        yield* writeFile(draft, "base.tar", [content])
        yield* Scope.close(scope, Exit.fail("cancelled"))
        yield* check("labels", yield* storage.labels, [])
        yield* check("swept", yield* lock.sweep, [])
        const again = yield* lock.draft(label)
        yield* writeFile(again, "base.tar", [content])
        yield* again.publish
        yield* check("labels after", yield* storage.labels, [label])
      })
    ),
    rule("does not let a draft replace a backup", (storage) =>
      Effect.gen(function* () {
        yield* publish(storage, label)
        const lock = yield* storage.lock({})
        const replace = Effect.gen(function* () {
          const draft = yield* lock.draft(label)
          yield* writeFile(draft, "base.tar", [])
          yield* draft.publish
        })
        yield* failsWith("publish over a backup", Effect.scoped(replace), ["StorageFailed"])
        yield* check("base.tar", yield* readFile(storage, label, "base.tar"), new TextDecoder().decode(content))
      })
    ),
    rule("does not write a file twice", (storage) =>
      Effect.gen(function* () {
        const draft = yield* Effect.flatMap(storage.lock({}), (lock) => lock.draft(label))
        yield* writeFile(draft, "base.tar", [content])
        yield* failsWith("a second file of that name", writeFile(draft, "base.tar", [content]), ["StorageFailed"])
      })
    ),
    rule("has one writer at a time", (storage) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Scope.extend(storage.lock({ target: "a" }), scope)
        for (const target of [undefined, "a", "b"]) {
          yield* failsWith("a second lock", Effect.scoped(storage.lock({ target })), ["AlreadyRunning"])
        }
        yield* Scope.close(scope, Exit.void)
        yield* Effect.scoped(storage.lock({}))
      })
    ),
    rule("does not take a living writer's draft for a leftover", (storage) =>
      Effect.gen(function* () {
        const draft = yield* Effect.flatMap(storage.lock({}), (lock) => lock.draft(label))
        yield* writeFile(draft, "base.tar", [content])
        yield* check("leftovers", yield* storage.hasLeftovers, false)
        yield* draft.publish
      })
    ),
    rule("sweeps no backup", (storage) =>
      Effect.gen(function* () {
        yield* publish(storage, label)
        yield* publish(storage, other)
        yield* check("swept", yield* Effect.scoped(Effect.flatMap(storage.lock({}), (lock) => lock.sweep)), [])
        yield* check("labels", [...(yield* storage.labels)].sort(), [label, other])
      })
    ),
    rule("finds only what is a label, never a path", (storage) =>
      Effect.gen(function* () {
        yield* publish(storage, label)
        for (const wrong of [other, "", ".", "..", `../${label}`, `${label}/../${label}`, "/etc", `${label}\n`]) {
          yield* failsWith(wrong, storage.files(wrong), ["NotFound"])
          yield* failsWith(wrong, Stream.runDrain(storage.read(wrong, "manifest.json")), ["NotFound"])
        }
        yield* failsWith("a missing file", Stream.runDrain(storage.read(label, "missing")), [
          "StorageFailed",
          "NotFound"
        ])
      })
    )
  ]
}
