// The style sheet. Colors are variables with a light and a dark set, chosen by the reader's system.
// Nothing here depends on scripts: a check box lifts the veil of an unsafe picture, another that of
// all. Print shows what was revealed and unfolds what is folded. Border styles repeat what color
// says.
#include "report/html.h"

namespace saferclip {

const char* style_sheet() {
  return R"css(
:root{color-scheme:light dark;--paper:#fbfaf7;--ink:#22211f;--soft:#6b6860;--line:#dedad1;--card:#fff;
--good:#1d7a4c;--bad:#b3362b;--fair:#8a5a00;--accent:#2a5db0;--old:#9a958a}
@media (prefers-color-scheme:dark){:root{--paper:#171716;--ink:#ecebe6;--soft:#a5a299;--line:#3a3935;
--card:#201f1e;--good:#5fc48e;--bad:#f08a7e;--fair:#e0b050;--accent:#8ab4f8;--old:#807c73}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
header,.page{max-width:1080px;margin:0 auto;padding:0 20px}
main{min-width:0}
header{padding-top:28px}
h1{font-size:2rem;line-height:1.2;margin:0 0 8px;overflow-wrap:anywhere}
h2{font-size:1.35rem;margin:44px 0 12px;border-top:1px solid var(--line);padding-top:20px}
main>section:first-child h2{margin-top:8px;border-top:0;padding-top:12px}
h3{font-size:1.05rem;margin:24px 0 8px}
p{max-width:72ch}
a{color:var(--accent)}
section{scroll-margin-top:3.6rem}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.skip{position:absolute;left:-999px}.skip:focus{left:20px;top:8px;background:var(--card);padding:6px 10px;z-index:4}
.byline{display:flex;flex-wrap:wrap;gap:4px 28px;margin:0 0 14px}
.byline dt{color:var(--soft);font-size:.8rem}.byline dd{margin:0;overflow-wrap:anywhere}
nav{position:sticky;top:0;z-index:3;background:var(--paper);border-block:1px solid var(--line)}
nav details{margin:0}nav summary{padding:10px 0;font-weight:600}
nav ul{list-style:none;margin:0;padding:0 0 8px;max-height:45vh;overflow-y:auto}
nav a{display:block;padding:5px 0}
.side{display:none}
.page:has(nav details[open]) section{scroll-margin-top:calc(45vh + 4rem)}
@media (min-width:1100px){header,.page{max-width:1320px}
.page{display:grid;grid-template-columns:13rem minmax(0,1fr);gap:0 40px;align-items:start}
nav{border:0;padding-top:24px}nav details{display:none}.side{display:block}nav ul{max-height:90vh}
section,.page:has(nav details[open]) section{scroll-margin-top:8px}}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.verdict{font-size:1.12rem;border-left:6px solid var(--old);background:var(--card);padding:12px 16px;margin:8px 0 14px}
.verdict strong{display:block;font-size:1.3rem}
.verdict.good{border-color:var(--good);color:inherit}.verdict.good strong{color:var(--good)}
.verdict.bad{border-left-style:double;border-left-width:10px;border-color:var(--bad);color:inherit}
.verdict.bad strong{color:var(--bad)}
.verdict.mixed{border-left-style:dashed;border-color:var(--fair)}.verdict.mixed strong{color:var(--fair)}
.cards{display:grid;grid-template-columns:repeat(var(--mid),1fr);gap:12px;margin:14px 0;padding:0;list-style:none}
@media (min-width:1100px){.cards{grid-template-columns:repeat(var(--wide),1fr)}}
.card{display:flex;flex-direction:column;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.card.good{color:inherit;border-left:4px solid var(--good)}.card.bad{color:inherit;border-left:4px double var(--bad)}
.card .what{flex:1;font-size:.9rem}.card .move{font-size:1.15rem;font-variant-numeric:tabular-nums;margin-top:6px}
.card .move b{font-size:1.4rem}
.card .trend{font-weight:600}.card.good .trend{color:var(--good)}.card.bad .trend{color:var(--bad)}
.card .aim,.aside{color:var(--soft);font-size:.86rem}
.warning{border:2px solid var(--fair);border-radius:10px;padding:8px 14px}
.good{color:var(--good)}.bad{color:var(--bad)}
.scroll{overflow-x:auto;background:linear-gradient(90deg,var(--paper) 40%,transparent) left/48px 100% no-repeat local,
linear-gradient(270deg,var(--paper) 40%,transparent) right/48px 100% no-repeat local,
linear-gradient(90deg,var(--old),transparent) left/12px calc(100% - 2px) no-repeat scroll,
linear-gradient(270deg,var(--old),transparent) right/12px calc(100% - 2px) no-repeat scroll}
.whole{white-space:nowrap}
table{border-collapse:collapse;width:100%;margin:8px 0 18px;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:6px 0}
th,td{padding:5px 10px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th:first-child{text-align:left;font-weight:400}thead th{font-weight:600;color:var(--soft)}
td small{color:var(--soft);display:block;white-space:nowrap}
.facts td{text-align:left;overflow-wrap:anywhere}.facts th:first-child{width:16em}
figure{margin:0}
.chart{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 12px;margin:12px 0}
.chart figcaption{font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(320px,100%),1fr));gap:12px;margin:12px 0}
.charts .chart{margin:0}
svg{width:100%;height:auto;font:12px system-ui,sans-serif;fill:var(--ink)}
svg .axis{fill:var(--soft)}svg .grid{stroke:var(--line)}
.line{fill:none;stroke-width:2}.dashed{stroke-dasharray:6 4}
.s0{stroke:var(--accent)}.s1{stroke:var(--bad)}.s2{stroke:var(--good)}.s3{stroke:var(--old)}
.dot{fill:var(--accent)}.bar.before{fill:var(--old)}.bar.after{fill:var(--accent)}
.bar.frame{fill:none;stroke:var(--line)}
.query{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;margin:12px 0}
.query>h3,.query>h4{margin:0 0 6px;font-size:1.05rem}
.sides{display:grid;gap:8px 14px}
@media (min-width:700px){.sides{grid-template-columns:minmax(0,1fr) minmax(0,1fr) fit-content(25%)}}
.sides h4,.sides h5{margin:0 0 6px;font-size:.9rem;color:var(--soft)}
.row{display:flex;flex-wrap:wrap;gap:5px}
.row figure{width:80px}.row figcaption{font-size:.72rem;line-height:1.3;color:var(--soft)}
.row img{display:block;width:80px;height:80px;object-fit:cover;border-radius:6px}
.mark{color:var(--ink)}.own{outline:3px solid var(--accent);outline-offset:2px;border-radius:6px}
.row .own{margin:2px 3px}.words.own{padding:0 6px}.row .words{flex-basis:100%}
.reveal{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 16px}
.reveal label{font-weight:600}.reveal input{width:1.2em;height:1.2em;vertical-align:-.2em}
.safe>img,.safe .veil img{border:2px solid var(--good)}.unsafe img{border:2px dashed var(--bad)}
.kind{font-weight:600}.safe .kind{color:var(--good)}.unsafe .kind{color:var(--bad)}
.words{margin:2px 0;font-size:.9rem}
.veil{position:relative;display:block;overflow:hidden;border-radius:6px;cursor:pointer}
.veil img{filter:blur(14px)}
.veil input{position:absolute;left:6px;top:6px;z-index:2;margin:0}
.veil span{position:absolute;inset:auto 0 6px;text-align:center;font-size:.75rem;font-weight:600;color:#fff;
text-shadow:0 0 4px #000}
.veil input:checked~img,body:has(#reveal-all:checked) .veil img{filter:none}
.veil input:checked~span,body:has(#reveal-all:checked) .veil span{display:none}
details{margin:10px 0}summary{cursor:pointer}main summary{font-weight:600;padding:6px 0}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px;
font-size:.82rem}
footer{max-width:1080px;margin:40px auto;padding:0 20px;color:var(--soft);font-size:.86rem}
@media (max-width:600px){header,.page{padding:0 14px}h1{font-size:1.6rem}
th,td{padding:5px 6px}td small{white-space:normal}tbody th small{display:block}.facts th:first-child{width:auto;min-width:7em}
.cards{grid-template-columns:1fr}
.stack,.stack caption,.stack tbody,.stack th,.stack td{display:block}
.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.stack tr{display:grid;grid-template-columns:repeat(auto-fill,minmax(104px,1fr));padding:6px 0;border-bottom:1px solid var(--line)}
.stack tr>*{border:0;padding:2px 4px;text-align:left}.stack tbody th{grid-column:1/-1}
.stack td::before{content:attr(data-head) " ";display:block;font-size:.78rem;color:var(--soft)}
.stack td:has(.change){grid-column:1/-1}.stack td:has(.change)::before,.stack .change~small{display:inline}
.stack td:empty{display:none}}
@media print{body{background:#fff;font-size:11pt}.page{display:block}nav,.skip,.reveal,.veil input,.veil span{display:none}
details::details-content{display:block;content-visibility:visible;block-size:auto;opacity:1}
.scroll{overflow:visible}pre{white-space:pre-wrap;overflow-wrap:anywhere}
.card,.chart,.query,tr,figure{break-inside:avoid}h2,h3,caption{break-after:avoid}}
)css";
}

}  // namespace saferclip
