#pragma once
// The style sheet of a page. Colours are those of Okabe and Ito (2008), darker or lighter where contrast asks for it:
// people who see few colours tell them apart; dashes and shapes say the same again.

namespace tandem::report {

inline constexpr char kStyle[] = R"css(
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1a1f26; --soft: #5b6470; --line: #dde1e6; --panel: #f6f7f9;
  --blue: #0067a8; --orange: #c45000; --green: #00785a; --purple: #9a4a7d; --good: #00785a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e7eaee; --soft: #9aa4b0; --line: #2d333b; --panel: #1c2026;
    --blue: #5bb5f2; --orange: #f09a4a; --green: #35c49a; --purple: #d793bd; --good: #35c49a; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto,
  "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 56px; }
header { border-bottom: 1px solid var(--line); padding-bottom: 18px; }
header p { margin: 6px 0 0; color: var(--soft); max-width: 90ch; }
h1 { font-size: 27px; line-height: 1.25; margin: 2px 0 0; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 40px 0 12px; font-weight: 650; }
h3 { font-size: 16px; margin: 26px 0 4px; font-weight: 600; }
.kind { color: var(--soft); font-size: 13px; letter-spacing: .04em; text-transform: uppercase; margin: 0; }
.state { display: inline-block; font-size: 13px; font-weight: 600; padding: 2px 10px; border-radius: 11px;
  border: 1px solid currentColor; color: var(--soft); vertical-align: 4px; margin-left: 8px; white-space: nowrap; }
.state.good { color: var(--good); } .state.bad { color: var(--bad); } .state.on { color: var(--blue); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(215px, 1fr)); gap: 14px; margin: 22px 0 0; }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; }
.tile b { display: block; white-space: nowrap; font-size: 21px; line-height: 1.3; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; display: block; overflow-wrap: anywhere; }
.error { border-left: 4px solid var(--bad); background: var(--panel); padding: 10px 16px; margin: 20px 0 0;
  overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: 13.5px; margin: 6px 0 0; max-width: 100ch; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 0 36px; margin: 0; }
dl div { display: flex; gap: 12px; border-bottom: 1px solid var(--line); padding: 5px 0; }
dl .long { grid-column: 1 / -1; }
dt { color: var(--soft); flex: 0 0 128px; overflow-wrap: anywhere; } dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
dl + figure { margin-top: 18px; }
figure { margin: 0 0 22px; min-width: 0; break-inside: avoid; }
figcaption b { display: block; font-weight: 600; } figcaption { font-size: 13.5px; color: var(--soft); }
figcaption b { color: var(--ink); font-size: 15px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 6px 0 0; font-size: 13px; color: var(--soft); }
.legend span { white-space: nowrap; } .legend svg { width: 26px; height: 12px; vertical-align: -1px; margin-right: 5px; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 0 28px; }
.row.wide { grid-template-columns: repeat(auto-fit, minmax(430px, 1fr)); }
figure > svg { display: block; width: 100%; height: auto; margin-top: 6px; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .strong { fill: var(--ink); font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
svg .grid { stroke: var(--line); stroke-width: 1; fill: none; } svg .axis { stroke: var(--soft); stroke-width: 1; fill: none; }
svg .mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 3; fill: none; }
svg .tick { fill: var(--soft); stroke: none; opacity: .75; }
svg .curve { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .faint { stroke-width: 1; opacity: .5; }
.c0 { stroke: var(--blue); } .c1 { stroke: var(--orange); } .c2 { stroke: var(--green); } .c3 { stroke: var(--purple); }
.curve.c1 { stroke-dasharray: 7 4; } .curve.c2 { stroke-dasharray: 2 4; } .curve.c3 { stroke-dasharray: 9 3 2 3; }
.curve.solid { stroke-dasharray: none; }
.f0 { fill: var(--blue); } .f1 { fill: var(--orange); } .f2 { fill: var(--green); } .f3 { fill: var(--purple); }
svg .area { fill-opacity: .22; stroke-width: 1.5; }
svg .dot { stroke: var(--paper); stroke-width: .8; } svg .link { stroke: var(--soft); stroke-width: .8; opacity: .45; }
svg .ring { fill: none; stroke: var(--ink); stroke-width: 2; }
table { border-collapse: collapse; margin: 8px 0 14px; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--soft); }
td, th { padding: 4px 14px 4px 0; text-align: right; vertical-align: top; } td { border-bottom: 1px solid var(--line); }
td:first-child, th:first-child { text-align: left; overflow-wrap: anywhere; }
.findings { list-style: none; margin: 8px 0 16px; padding: 0; max-width: 100ch; }
.findings li { border-left: 4px solid var(--line); padding: 4px 0 4px 12px; margin: 6px 0; overflow-wrap: anywhere; }
.findings .grave-error { border-color: var(--bad); } .findings .grave-warning { border-color: var(--orange); }
.findings b { text-transform: capitalize; margin-right: 6px; } .findings span { color: var(--soft); font-size: 13px; }
.scroll { max-height: 340px; overflow: auto; margin-top: 6px; }
.better { color: var(--good); } .worse { color: var(--bad); } .soft { color: var(--soft); }
details { font-size: 13.5px; margin-top: 4px; } summary { cursor: pointer; color: var(--blue); width: max-content; }
footer { margin-top: 48px; color: var(--soft); font-size: 13px; border-top: 1px solid var(--line); padding-top: 12px; }
@media (max-width: 560px) { main { padding: 20px 14px 40px; } .row.wide, dl { grid-template-columns: 1fr; } }
@media print { :root { --paper: #ffffff; --ink: #000000; --soft: #444444; --line: #cccccc; --panel: #ffffff;
    --blue: #0067a8; --orange: #c45000; --green: #00785a; --purple: #9a4a7d; --good: #00785a; --bad: #b3261e; }
  main { max-width: none; padding: 0; } details:not([open]) { display: none; } h2 { break-after: avoid; }
  .scroll { max-height: none; overflow: visible; } .tiles { grid-template-columns: repeat(4, 1fr); } }
)css";

}  // namespace tandem::report
