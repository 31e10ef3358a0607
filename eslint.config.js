// Lint rules of the page's modules; `make lint` applies them.
import js from "@eslint/js";
import globals from "globals";

export default [
  // The report's scripts are joined in its page and share their names.
  { ignores: ["src/actspan/report/assets/"] },
  js.configs.recommended,
  {
    files: ["src/actspan/server/viewer/**/*.js"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "array-callback-return": "error",
      "complexity": ["error", 12],
      "consistent-return": "error",
      "eqeqeq": "error",
      "max-len": ["error", { code: 120 }],
      "max-lines": ["error", 300],
      "no-eval": "error",
      "no-implicit-coercion": "error",
      "no-param-reassign": "error",
      "no-restricted-properties": ["error", { property: "innerHTML", message: "Use textContent." }],
      "no-shadow": "error",
      "no-unused-expressions": "error",
      "no-use-before-define": ["error", { functions: false, variables: false }],
      "no-var": "error",
      "prefer-const": "error",
      "require-await": "error",
    },
  },
];
