/**
 * Who is served next.
 */
import { assert, describe, it } from "@effect/vitest"
import { WaitList } from "../../src/ConnectionPool/WaitList.ts"
import type { Priority, Waiter } from "../../src/ConnectionPool/WaitList.ts"

class Customer implements Waiter {
  previous: this | undefined
  next: this | undefined
  readonly priority: Priority
  readonly since: number
  constructor(priority: Priority, since: number) {
    this.priority = priority
    this.since = since
  }
}

const fill = (list: WaitList<Customer>, priority: Priority, count: number, since = 0) => {
  for (let i = 0; i < count; i++) list.push(new Customer(priority, since + i))
}

const served = (list: WaitList<Customer>, count: number): Record<Priority, number> => {
  const counts = { high: 0, normal: 0, low: 0 }
  for (let i = 0; i < count; i++) {
    const customer = list.shift()
    if (customer !== undefined) counts[customer.priority]++
  }
  return counts
}

describe("a wait list", () => {
  it("serves each class its share of ten while all of them wait", () => {
    const list = new WaitList<Customer>()
    for (const priority of ["low", "normal", "high"] as const) fill(list, priority, 30)
    assert.deepStrictEqual(served(list, 10), { high: 6, normal: 3, low: 1 })
    assert.deepStrictEqual(served(list, 30), { high: 18, normal: 9, low: 3 })
  })

  it("gives everything to the one class that waits", () => {
    const list = new WaitList<Customer>()
    fill(list, "low", 5)
    assert.deepStrictEqual(served(list, 10), { high: 0, normal: 0, low: 5 })
    assert.strictEqual(list.length, 0)
  })

  it("lets a class that comes back not make up for its absence", () => {
    const list = new WaitList<Customer>()
    fill(list, "high", 60)
    served(list, 50)
    fill(list, "low", 10)
    assert.strictEqual(served(list, 7).low, 1)
  })

  it("finds whoever has waited longest in any class", () => {
    const list = new WaitList<Customer>()
    fill(list, "high", 2, 5)
    fill(list, "low", 2, 4)
    assert.strictEqual(list.oldest?.priority, "low")
    assert.strictEqual(list.shiftBefore(4)?.priority, "low")
    assert.isUndefined(list.shiftBefore(4))
    assert.strictEqual(list.length, 3)
  })

  it("counts whoever is served before one that comes now", () => {
    const list = new WaitList<Customer>()
    fill(list, "high", 20)
    fill(list, "low", 2)
    assert.strictEqual(list.ahead("high"), 22)
    assert.strictEqual(list.ahead("low"), 20)
    assert.strictEqual(list.ahead("normal"), 2 + 1 / 3)
  })
})
