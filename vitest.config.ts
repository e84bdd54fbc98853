import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const src = fileURLToPath(new URL("./src/", import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-plinth$/, replacement: `${src}index.ts` },
      { find: /^effect-plinth\/(embedded|testing|http|cli)$/, replacement: `${src}$1/index.ts` },
      { find: /^effect-plinth\/(.+)$/, replacement: `${src}$1.ts` }
    ]
  },
  test: {
    globalSetup: ["./test/support/globalSetup.ts"],
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    testTimeout: 90_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    minWorkers: 1
  }
})
