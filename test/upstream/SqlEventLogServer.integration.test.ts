/**
 * What the event log server's storage of `@effect/sql` asks of a client: binary columns, batches, one table per key. It
 * has no suite upstream. `SqlEventJournal` is not here: on PostgreSQL it gives a `Date` to a bigint, on any client.
 */
import * as EventJournal from "@effect/experimental/EventJournal"
import * as EventLogServer from "@effect/experimental/EventLogServer"
import * as SqlEventLogServer from "@effect/sql/SqlEventLogServer"
import { assert, layer } from "@effect/vitest"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { contestants } from "./clients.ts"
import type { Client } from "./clients.ts"

const entry = (byte: number) =>
  new EventLogServer.PersistedEntry({
    entryId: EventJournal.makeEntryId(),
    iv: new Uint8Array(12).fill(byte),
    encryptedEntry: Uint8Array.from({ length: 256 }, (_, index) => (index + byte) % 256)
  })

const bytesOf = (entries: ReadonlyArray<{ readonly sequence: number; readonly encryptedEntry: Uint8Array }>) =>
  entries.map(({ encryptedEntry, sequence }) => [sequence, ...encryptedEntry])

const storage = SqlEventLogServer.layerStorageSubtle({ insertBatchSize: 3 })

const suite = (name: string, client: Client) =>
  layer(storage.pipe(Layer.provideMerge(client)), { excludeTestServices: true })(name, (it) => {
    it.effect("keeps every byte of what is written, in order and over several batches", () =>
      Effect.gen(function* () {
        const { entries, write } = yield* EventLogServer.Storage
        const written = Array.makeBy(10, entry)
        const stored = bytesOf(yield* write("key", written))
        assert.deepStrictEqual(
          stored,
          written.map(({ encryptedEntry }, index) => [index + 1, ...encryptedEntry])
        )
        assert.deepStrictEqual(bytesOf(yield* entries("key", 0)), stored)
        assert.deepStrictEqual(bytesOf(yield* entries("key", 8)), stored.slice(7))
      })
    )

    it.effect("keeps one of two entries with the same id, and apart what has another key", () =>
      Effect.gen(function* () {
        const { entries, write } = yield* EventLogServer.Storage
        const one = entry(1)
        const first = yield* write("duplicates", [one])
        assert.deepStrictEqual(bytesOf(yield* write("duplicates", [one])), bytesOf(first))
        assert.lengthOf(yield* entries("duplicates", 0), 1)
        assert.lengthOf(yield* entries("another", 0), 0)
      })
    )

    it.scoped("streams what was there and what comes", () =>
      Effect.gen(function* () {
        const { changes, write } = yield* EventLogServer.Storage
        yield* write("changes", [entry(1), entry(2)])
        const mailbox = yield* changes("changes", 2)
        yield* write("changes", [entry(3)])
        const sequences = Effect.map(
          Effect.all([mailbox.take, mailbox.take]),
          Array.map(({ sequence }) => sequence)
        )
        const distinct = yield* Effect.timeout(sequences, "5 seconds")
        assert.strictEqual(distinct[0], 2)
        assert.isAbove(distinct[1] ?? 0, 2)
      })
    )

    it.scoped("keeps its id when it is made again", () =>
      Effect.gen(function* () {
        const { getId } = yield* EventLogServer.Storage
        const again = yield* Effect.flatMap(Layer.build(Layer.fresh(storage)), (context) =>
          Effect.provide(
            Effect.flatMap(EventLogServer.Storage, (other) => other.getId),
            context
          )
        )
        assert.deepStrictEqual([...again], [...(yield* getId)])
      })
    )
  })

for (const { make, name } of contestants) suite(name, make())
