import js from "@eslint/js"
import tseslint from "typescript-eslint"

/*
 * Only what tsc, the Effect language service, prettier and test/Architecture.test.ts do not already check.
 * Which folder may import `pg`, `node:*` and `@effect/platform-node` is stated once, in the architecture test.
 */
const everywhere = [
  {
    selector: "CallExpression[callee.object.name=/^(it|test|describe|layer)$/][callee.property.name='only']",
    message: "A focused test hides every other one."
  }
]

const inSource = [
  { selector: "ExportDefaultDeclaration", message: "No default exports: a module is imported by its name." },
  { selector: "TSEnumDeclaration", message: "A union of literals instead of an enum." },
  {
    selector: "MemberExpression[object.name='Effect'][property.name='Service']",
    message: "Context.Tag classes with a module-level make and layer, not Effect.Service."
  },
  {
    selector:
      "MemberExpression[object.name='Effect'][property.name=/^run(Promise|PromiseExit|Sync|SyncExit|Fork|Callback)$/]",
    message: "Effects are run at the edge (cli/main.ts, legacy/); inside, yield them or use the surrounding Runtime."
  }
]

const inTests = [
  {
    selector:
      "CallExpression[callee.name=/^(it|test)$/] > ArrowFunctionExpression > CallExpression.body:matches([callee.object.name=/^(Effect|Stream|Layer)$/], [callee.property.name='pipe'])",
    message: "This Effect never runs: use it.effect, it.live, it.scoped or it.scopedLive."
  },
  {
    selector: "CallExpression[callee.object.name=/^(it|test|describe)$/][callee.property.name='skip']",
    message: "A skipped test proves nothing: delete it, or use skipIf / runIf with the condition that brings it back."
  }
]

export default tseslint.config(
  { ignores: ["dist", "coverage", ".cache", ".plinth", "**/node_modules"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  ...tseslint.configs.recommended,
  {
    files: ["**/*.ts"],
    rules: {
      // tsc knows better
      "no-undef": "off",
      "no-unused-vars": "off",
      "@typescript-eslint/no-unused-vars": ["error", { args: "none", varsIgnorePattern: "^_", caughtErrors: "all" }],
      // Effect.gen(function* () { .. }) and class X extends Context.Tag("X")<X, {}>() {}
      "require-yield": "off",
      "@typescript-eslint/no-empty-object-type": "off",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/consistent-type-assertions": ["error", { assertionStyle: "never" }],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "separate-type-imports" }],
      "@typescript-eslint/array-type": ["error", { default: "generic", readonly: "generic" }],
      "@typescript-eslint/ban-ts-comment": "error",
      eqeqeq: "error",
      "object-shorthand": "error",
      "no-useless-rename": "error",
      "no-restricted-syntax": ["error", ...everywhere]
    }
  },
  {
    files: ["src/**/*.ts"],
    rules: {
      "no-console": "error",
      "no-restricted-globals": [
        "error",
        { name: "process", message: "Config, Console, Terminal and the Runtime's teardown stand for process." }
      ],
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { regex: "^(\\.{1,2}/)+index\\.ts$", message: "The barrel is for users; import the module." },
            { regex: "^effect-plinth(/|$)", message: "Inside the package, import the file." },
            { regex: "^\\.{1,2}/.*(?<!\\.ts)$", message: "Relative imports name the .ts file." }
          ]
        }
      ],
      "no-restricted-syntax": ["error", ...everywhere, ...inSource]
    }
  },
  {
    // pg's types end where its wire begins: a cast stands alone there, with its reason.
    files: ["src/internal/pg/**/*.ts"],
    rules: { "@typescript-eslint/consistent-type-assertions": "off" }
  },
  {
    // the rooms that may be Node programs
    files: ["src/internal/node/**/*.ts", "src/cli/main.ts", "src/embedded/**/*.ts", "src/testing/**/*.ts"],
    rules: { "no-restricted-globals": "off" }
  },
  {
    files: ["test/**/*.ts", "examples/**/*.test.ts"],
    rules: { "no-restricted-syntax": ["error", ...everywhere, ...inTests] }
  }
)
