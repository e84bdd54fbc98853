/**
 * The map of the package as a checkable fact: which module may import which, who may touch Node and the driver,
 * and which entry points the package offers.
 */
import { builtinModules } from "node:module"
import ts from "typescript"

/** The sources by path, relative to `src` and with forward slashes: `"Migrator/Plan.ts" -> "import .."`. */
export type Tree = ReadonlyMap<string, string>

interface Import {
  readonly specifier: string
  readonly typeOnly: boolean
}

/** Entry points of their own: they may import everything, nothing imports them. */
export const edges: ReadonlyArray<string> = ["adapters", "embedded", "http", "legacy", "testing", "cli"]

/** Siblings: `Database.ts` wires them, they never know each other. */
export const capabilities: ReadonlyArray<string> = [
  "QueryCache",
  "Migrator",
  "HealthMonitor",
  "PoolOptimizer",
  "IndexAdvisor",
  "DataValidation",
  "Backup"
]

/** What only some folders may import. A room is a folder ending in `/`, or one file. */
const rooms: ReadonlyArray<{
  readonly name: string
  readonly matches: (specifier: string) => boolean
  readonly allowed: ReadonlyArray<string>
}> = [
  {
    name: "the driver",
    matches: (specifier) => /^(@types\/)?pg(-[a-z-]+)?(\/|$)/.test(specifier),
    allowed: ["internal/pg/"]
  },
  {
    name: "Node",
    matches: (specifier) => specifier.startsWith("node:") || builtinModules.includes(specifier),
    allowed: ["internal/node/", "cli/main.ts", "embedded/", "testing/"]
  },
  {
    name: "@effect/platform-node",
    matches: (specifier) => /^@effect\/platform-(node|bun)/.test(specifier),
    allowed: ["cli/", "embedded/", "testing/", "http/"]
  }
]

const vagueNames = /^(utils?|helpers?|common|manager|misc|shared|types)$/i

/** The modules of the barrel, in its order. */
export const modulesOf = (barrel: string): ReadonlyArray<string> =>
  Array.from(barrel.matchAll(/^export \* as (\w+) from "\.\/(\w+)\.ts"$/gm), ([, , file]) => file ?? "")

const importsOf = (path: string, source: string): ReadonlyArray<Import> => {
  const imports: Array<Import> = []
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      imports.push({ specifier: node.moduleSpecifier.text, typeOnly: node.importClause?.isTypeOnly ?? false })
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      imports.push({ specifier: node.moduleSpecifier.text, typeOnly: node.isTypeOnly })
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [target] = node.arguments
      // loaded when called, so it cannot make a cycle
      if (target && ts.isStringLiteral(target)) imports.push({ specifier: target.text, typeOnly: true })
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) {
        imports.push({ specifier: node.argument.literal.text, typeOnly: true })
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(path, source, ts.ScriptTarget.ES2022))
  return imports
}

const resolve = (from: string, specifier: string): string => {
  const parts = from.split("/").slice(0, -1)
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop()
    else if (part !== ".") parts.push(part)
  }
  return parts.join("/")
}

/** `"Migrator/Plan.ts"` and `"Migrator.ts"` are both of `"Migrator"`; `"internal/pg/x.ts"` is of `"internal"`. */
const ownerOf = (path: string): string => (path.split("/")[0] ?? path).replace(/\.ts$/, "")

/** Every broken rule of the map, as sentences. An empty list is the proof that a person can trust the barrel. */
export const violationsOf = (tree: Tree): ReadonlyArray<string> => {
  const violations: Array<string> = []
  const modules = modulesOf(tree.get("index.ts") ?? "")
  const rank = new Map(modules.map((name, index) => [name, index]))
  const imports = new Map(Array.from(tree, ([path, source]) => [path, importsOf(path, source)]))
  const targetsOf = (path: string): ReadonlyArray<string> =>
    (imports.get(path) ?? []).flatMap(({ specifier }) => (specifier.startsWith(".") ? [resolve(path, specifier)] : []))

  for (const name of modules) {
    if (!tree.has(`${name}.ts`)) violations.push(`index.ts lists ${name}, and there is no ${name}.ts`)
    if (modules.indexOf(name) !== modules.lastIndexOf(name)) violations.push(`index.ts lists ${name} twice`)
  }

  /** The modules that `path` reaches, seen through `internal/`, with the way there. */
  const reached = (path: string, way: ReadonlyArray<string> = []): ReadonlyArray<{ owner: string; way: string }> =>
    targetsOf(path).flatMap((target) => {
      if (way.includes(target)) return []
      const next = [...way, target]
      return ownerOf(target) === "internal"
        ? reached(target, next)
        : [{ owner: ownerOf(target), way: next.join(" -> ") }]
    })

  for (const [path, found] of imports) {
    if (path === "index.ts") continue
    const owner = ownerOf(path)
    const isEdge = edges.includes(owner)
    const own = rank.get(owner)
    const base = path.split("/").at(-1)?.replace(/\.ts$/, "") ?? ""

    if (vagueNames.test(base)) violations.push(`${path}: "${base}" says nothing; name the concept`)
    if (!isEdge && owner !== "internal" && own === undefined) {
      violations.push(
        path.includes("/")
          ? `${path}: the folder ${owner}/ belongs to no module of index.ts`
          : `${path}: not listed in index.ts`
      )
    }
    for (const { specifier } of found) {
      for (const room of rooms) {
        if (room.matches(specifier) && !room.allowed.some((allowed) => path.startsWith(allowed))) {
          violations.push(`${path}: imports ${specifier}, but ${room.name} stays in ${room.allowed.join(", ")}`)
        }
      }
    }
    for (const target of targetsOf(path)) {
      if (target === "index.ts") violations.push(`${path}: imports the barrel`)
      else if (!isEdge && edges.includes(ownerOf(target))) {
        violations.push(`${path}: imports ${target}, an edge that nothing above may know`)
      }
    }
    if (own === undefined) continue
    for (const { owner: other, way } of reached(path)) {
      const above = rank.get(other)
      if (above === undefined || other === owner) continue
      if (capabilities.includes(owner) && capabilities.includes(other)) {
        violations.push(`${path}: the capability ${owner} imports its sibling ${other} (${way})`)
      } else if (above > own) {
        violations.push(`${path}: ${owner} imports ${other}, which stands below it in index.ts (${way})`)
      }
    }
  }
  return [...violations, ...cyclesOf(imports)]
}

/** Files that need each other while they load. A type is not needed then, nor is a dynamic import. */
const cyclesOf = (imports: ReadonlyMap<string, ReadonlyArray<Import>>): ReadonlyArray<string> => {
  const cycles: Array<string> = []
  const done = new Set<string>()
  const visit = (path: string, stack: ReadonlyArray<string>): void => {
    const start = stack.indexOf(path)
    if (start >= 0) {
      cycles.push(`a cycle of imports: ${[...stack.slice(start), path].join(" -> ")}`)
      return
    }
    if (done.has(path)) return
    for (const { specifier, typeOnly } of imports.get(path) ?? []) {
      if (specifier.startsWith(".") && !typeOnly) visit(resolve(path, specifier), [...stack, path])
    }
    done.add(path)
  }
  for (const path of imports.keys()) visit(path, [])
  return cycles
}

type Target = { readonly types: string; readonly default: string } | string | null

/** The `exports` of package.json that the tree deserves: its modules and its edges, and nothing inside them. */
export const exportsOf = (tree: Tree): Readonly<Record<string, Target>> => {
  const entry = (path: string): Target => ({ types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` })
  const has = (prefix: string): boolean => Array.from(tree.keys()).some((path) => path.startsWith(prefix))
  return Object.fromEntries([
    [".", entry("index")],
    ...modulesOf(tree.get("index.ts") ?? "").map((name) => [`./${name}`, entry(name)] as const),
    ...edges.flatMap((edge): ReadonlyArray<readonly [string, Target]> => {
      if (tree.has(`${edge}/index.ts`)) return [[`./${edge}`, entry(`${edge}/index`)]]
      return (edge === "adapters" || edge === "legacy") && has(`${edge}/`) ? [[`./${edge}/*`, entry(`${edge}/*`)]] : []
    }),
    ["./internal/*", null],
    ["./package.json", "./package.json"]
  ])
}
