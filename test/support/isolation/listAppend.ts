/**
 * Histories of transactions that append to lists and read them, and which anomalies they show.
 *
 * As in Elle (Kingsbury and Alvaro, VLDB 2020): a list names all its versions in their order, so from what was read
 * follows who wrote before whom (ww), who read from whom (wr) and who did not yet see whom (rw). A cycle of these is an
 * anomaly after Adya, and no serial order of the transactions explains it.
 */

export type Operation =
  | { readonly do: "append"; readonly key: number; readonly value: number }
  | { readonly do: "read"; readonly key: number; readonly list: ReadonlyArray<number> }

/** A transaction that was committed, and what it did in its order. */
export type Committed = ReadonlyArray<Operation>

export interface History {
  readonly committed: ReadonlyArray<Committed>
  /** The lists as they are in the end; values are unique. */
  readonly lists: ReadonlyMap<number, ReadonlyArray<number>>
}

/** The weakest first: cycles of ww, with wr, with one rw, with any number of rw. */
export type Cycle = "G0" | "G1c" | "G-single" | "G2"

export interface Finding {
  readonly name: Cycle | "lost append" | "dirty read" | "intermediate read"
  readonly detail: string
}

interface Edge {
  readonly from: Committed
  readonly to: Committed
  readonly kind: "ww" | "wr" | "rw"
}

const startsWith = (list: ReadonlyArray<number>, prefix: ReadonlyArray<number>) =>
  prefix.every((value, index) => list[index] === value)

/** Reads of what others wrote: those of a transaction before its own append to the key. */
const foreignReads = (transaction: Committed) =>
  transaction.flatMap((operation, index) => {
    if (operation.do === "append") return []
    const own = transaction.slice(0, index).some(({ do: what, key }) => what === "append" && key === operation.key)
    return own ? [] : [operation]
  })

export const check = ({ committed, lists }: History): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  const edges: Array<Edge> = []
  const writers = new Map<number, Committed>()
  for (const transaction of committed) {
    for (const operation of transaction) if (operation.do === "append") writers.set(operation.value, transaction)
  }
  const listOf = (key: number) => lists.get(key) ?? []
  const link = (from: Committed | undefined, to: Committed | undefined, kind: Edge["kind"]) => {
    if (from !== undefined && to !== undefined && from !== to) edges.push({ from, to, kind })
  }

  for (const [key, list] of lists) {
    for (const [index, value] of list.entries()) {
      const writer = writers.get(value)
      if (writer === undefined) findings.push({ name: "dirty read", detail: `nobody committed ${value} in ${key}` })
      if (index > 0) link(writers.get(list[index - 1] ?? 0), writer, "ww")
    }
  }
  for (const transaction of committed) {
    for (const operation of transaction) {
      if (operation.do === "append") {
        const { key, value } = operation
        if (!listOf(key).includes(value)) findings.push({ name: "lost append", detail: `${value} to ${key}` })
      } else if (!startsWith(listOf(operation.key), operation.list)) {
        findings.push({ name: "dirty read", detail: `${operation.list.join()} of ${listOf(operation.key).join()}` })
      }
    }
    for (const { key, list } of foreignReads(transaction)) {
      const writer = writers.get(list.at(-1) ?? 0)
      const next = writers.get(listOf(key)[list.length] ?? 0)
      link(writer, transaction, "wr")
      link(transaction, next, "rw")
      if (writer !== undefined && writer === next) findings.push({ name: "intermediate read", detail: list.join() })
    }
  }
  return [...findings, ...cycles(edges)]
}

type Graph = ReadonlyMap<Committed, ReadonlyArray<Edge>>

const graphOf = (edges: ReadonlyArray<Edge>, kinds: ReadonlyArray<Edge["kind"]>): Graph => {
  const graph = new Map<Committed, Array<Edge>>()
  for (const edge of edges) {
    if (!kinds.includes(edge.kind)) continue
    const known = graph.get(edge.from)
    if (known === undefined) graph.set(edge.from, [edge])
    else known.push(edge)
  }
  return graph
}

/** One cycle through each edge that is on one, by the weakest name that it has. */
const cycles = (edges: ReadonlyArray<Edge>): ReadonlyArray<Finding> => {
  const writes = graphOf(edges, ["ww"])
  const flow = graphOf(edges, ["ww", "wr"])
  const all = graphOf(edges, ["ww", "wr", "rw"])
  const ways: Record<Edge["kind"], ReadonlyArray<readonly [Cycle, Graph]>> = {
    ww: [["G0", writes]],
    wr: [["G1c", flow]],
    rw: [
      ["G-single", flow],
      ["G2", all]
    ]
  }
  return edges.flatMap((edge) => {
    for (const [name, graph] of ways[edge.kind]) {
      const back = path(graph, edge.to, edge.from)
      if (back !== undefined) return [{ name, detail: explain([edge, ...back]) }]
    }
    return []
  })
}

/** The shortest way from one transaction to another. */
const path = (graph: Graph, from: Committed, to: Committed): ReadonlyArray<Edge> | undefined => {
  const cameBy = new Map<Committed, Edge>()
  const queue = [from]
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    for (const edge of graph.get(node) ?? []) {
      if (cameBy.has(edge.to)) continue
      cameBy.set(edge.to, edge)
      if (edge.to === to) return trace(cameBy, from, to)
      queue.push(edge.to)
    }
  }
  return undefined
}

const trace = (cameBy: ReadonlyMap<Committed, Edge>, from: Committed, to: Committed): ReadonlyArray<Edge> => {
  const last = cameBy.get(to)
  if (last === undefined) return []
  return last.from === from ? [last] : [...trace(cameBy, from, last.from), last]
}

const explain = (cycle: ReadonlyArray<Edge>) =>
  cycle.map(({ from, kind }) => `[${from.map(inWords).join(" ")}] -${kind}->`).join(" ")

const inWords = (operation: Operation) =>
  operation.do === "append" ? `${operation.key}+=${operation.value}` : `${operation.key}=(${operation.list.join()})`
