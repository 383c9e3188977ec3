// Where the report goes is a setting of whoever runs this.
const report = process.env.GOVSTACK_REPORT;

module.exports = {
  default: {
    paths: ["features/*.feature"],
    require: ["features/support/*.js"],
    format: ["summary", ...(report ? [["message", report]] : [])],
    formatOptions: { colorsEnabled: false },
    // A step that nothing defines is a mistake, not a plan.
    strict: true,
  },
};
