/**
 * The gates of `npm run check`, each with the violations that prove it closed: files planted into a copy of the
 * repository, and what the gate must say about them. `npm run check:prove` plants them.
 */
export interface Gate {
  readonly name: string
  readonly command: readonly [string, ...ReadonlyArray<string>]
  readonly proofs: ReadonlyArray<Proof>
}

export interface Proof {
  /** Files of the copy to write, or to change. */
  readonly plant: Readonly<Record<string, string | ((current: string) => string)>>
  readonly expects: ReadonlyArray<RegExp>
}

const lines = (...all: ReadonlyArray<string>): string => `${all.join("\n")}\n`

export const gates: ReadonlyArray<Gate> = [
  {
    name: "effect in src",
    command: [
      "effect-language-service",
      "diagnostics",
      "--project",
      "src/tsconfig.json",
      "--strict",
      "--format",
      "text"
    ],
    proofs: [
      {
        plant: {
          "src/Planted.ts": lines(
            `import * as Context from "effect/Context"`,
            `import * as Effect from "effect/Effect"`,
            `import * as Layer from "effect/Layer"`,
            `export class A extends Context.Tag("A")<A, { readonly a: number }>() {}`,
            `export class B extends Context.Tag("B")<B, { readonly b: Effect.Effect<void, never, A>; readonly c: Effect.Effect<number, never, A> }>() {}`,
            `export const layer = Layer.succeed(A, { a: 1 })`,
            `export const other = Layer.succeed(B, { b: Effect.asVoid(A), c: Effect.as(A, 1) })`,
            `export const twice = Effect.all([A, B]).pipe(Effect.provide(layer), Effect.provide(other))`,
            `export const promised = async () => 1`,
            `export const generator = Effect.gen(function* () {`,
            `  Effect.log("floats")`,
            `  try { yield* A } catch { return Effect.runSync(Effect.void) }`,
            `  setTimeout(() => {}, Date.now() * Math.random())`,
            `  console.log(process.env["HOME"])`,
            `})`
          ),
          "src/PlantedBarrel.ts": lines(`import { Effect } from "effect"`, `export const barrel = Effect.void`)
        },
        expects: [
          /PlantedBarrel\.ts.*importFromBarrel/,
          /Planted\.ts.*leakingRequirements/,
          /Planted\.ts.*multipleEffectProvide/,
          /Planted\.ts.*asyncFunction/,
          /Planted\.ts.*floatingEffect/,
          /Planted\.ts.*tryCatchInEffectGen/,
          /Planted\.ts.*runEffectInsideEffect/,
          /Planted\.ts.*globalTimersInEffect/,
          /Planted\.ts.*globalDateInEffect/,
          /Planted\.ts.*globalRandomInEffect/,
          /Planted\.ts.*globalConsoleInEffect/,
          /Planted\.ts.*processEnvInEffect/
        ]
      }
    ]
  },
  {
    name: "effect outside src",
    command: [
      "effect-language-service",
      "diagnostics",
      "--project",
      "tsconfig.test.json",
      "--strict",
      "--format",
      "text"
    ],
    proofs: [
      {
        plant: {
          "test/planted.ts": lines(
            `import * as Effect from "effect/Effect"`,
            `export const generator = Effect.gen(function* () {`,
            `  Effect.log("floats")`,
            `  return yield* Effect.void`,
            `})`
          )
        },
        expects: [/planted\.ts.*floatingEffect/]
      }
    ]
  },
  {
    name: "types",
    command: ["tsc", "--noEmit"],
    proofs: [
      {
        plant: {
          "src/Planted.ts": lines(
            `import { Effect } from "effect/Effect"`,
            `export const unchecked: string = [""][0]`,
            `export const optional: { readonly a?: string } = { a: undefined }`,
            `export const signature = (x: Record<string, string>) => x.a`,
            `export enum Erased { A }`,
            `export const parameter = (unused: string) => 1`
          )
        },
        expects: [
          /Planted\.ts\(1,.*TS1484/, // verbatimModuleSyntax
          /Planted\.ts\(2,.*TS2322/, // noUncheckedIndexedAccess
          /Planted\.ts\(3,.*TS2375/, // exactOptionalPropertyTypes
          /Planted\.ts\(4,.*TS4111/, // noPropertyAccessFromIndexSignature
          /Planted\.ts\(5,.*TS1294/, // erasableSyntaxOnly
          /Planted\.ts\(6,.*TS6133/ // noUnusedParameters
        ]
      }
    ]
  },
  {
    name: "package",
    command: ["tsx", "scripts/check-package.ts"],
    proofs: [
      {
        plant: {
          "package.json": (manifest) =>
            manifest
              .replace(`"types": "./dist/index.d.ts"`, `"types": "./dist/gone.d.ts"`)
              .replace(`"./internal/*": null`, `"./gone": "./dist/gone.js", "./internal/*": null`)
        },
        expects: [/gone\.js[^\n]*does not exist/, /gone\.d\.ts[^\n]*does not exist|No types|Resolution failed/]
      },
      {
        plant: { "src/cli/main.ts": (main) => main.replace(/\n/, `\nimport "pg"\n`) },
        expects: [/would load database code:[^]*node_modules\/pg\//]
      }
    ]
  },
  {
    name: "lint",
    command: ["eslint", ".", "--cache", "--cache-location", ".cache/eslint", "--max-warnings", "0"],
    proofs: [
      {
        plant: {
          "src/Planted.ts": lines(
            `import * as Barrel from "./index.ts"`,
            `export const anything: any = Barrel`,
            `export const cast = anything as string`,
            `export const sure = [1][0]!`,
            `export const home = process.cwd()`,
            `export default sure`
          ),
          "test/planted.test.ts": lines(
            `import { it } from "@effect/vitest"`,
            `import * as Effect from "effect/Effect"`,
            `it("never runs", () => Effect.fail("no"))`,
            `it.only("hides the others", () => {})`
          )
        },
        expects: [
          /no-restricted-imports/,
          /no-explicit-any/,
          /consistent-type-assertions/,
          /no-non-null-assertion/,
          /no-restricted-globals/,
          /No default exports/,
          /This Effect never runs/,
          /A focused test/
        ]
      }
    ]
  },
  {
    name: "unused",
    command: ["knip", "--no-progress"],
    proofs: [
      {
        plant: {
          "src/SqlText/Planted.ts": lines(`export const nobody = 1`),
          "test/planted.test.ts": lines(`import "lodash"`),
          "package.json": (manifest) =>
            manifest.replace(`"devDependencies": {`, `"devDependencies": { "left-pad": "1.3.0",`)
        },
        expects: [
          /Unused files[^]*src\/SqlText\/Planted\.ts/,
          /Unlisted[^]*lodash/,
          /Unused devDependencies[^]*left-pad/
        ]
      }
    ]
  },
  {
    name: "format",
    command: ["prettier", "--check", ".", "--cache", "--cache-location", ".cache/prettier", "--log-level", "warn"],
    proofs: [{ plant: { "src/Planted.ts": `export const a = 'single';` }, expects: [/src\/Planted\.ts/] }]
  },
  {
    name: "architecture",
    command: ["vitest", "run", "--config", "scripts/architecture.vitest.ts"],
    proofs: [
      {
        plant: { "src/SqlText/Planted.ts": lines(`import pg from "pg"`, `import { layer } from "../Database.ts"`) },
        expects: [/the driver stays in internal\/pg\//, /SqlText imports Database/]
      }
    ]
  }
]
