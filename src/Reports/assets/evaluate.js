(() => {
    const data = JSON.parse(document.getElementById("data").textContent);
    const root = document.documentElement;
    const css = name => getComputedStyle(root).getPropertyValue(name).trim();
    const element = (tag, text, className) => {
        const e = document.createElement(tag);
        if (text !== undefined) e.textContent = text;
        if (className) e.className = className;
        return e;
    };
    const percent = x => (100 * x).toFixed(1) + " %";
    // Okabe and Ito's colours, which differ for colour-blind readers too; one for each model.
    const palette = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#999933", "#f0e442", "#8a8a8a"];
    const colour = stage => palette[stage % palette.length];
    const best = { cost: data.modelCost[data.best], quality: data.modelQuality[data.best], name: data.models[data.best] };

    const layout = (xTitle, yTitle, height) => ({
        // The legend hangs from the chart's lower edge, not from the axis: on a phone many lines of it leave little axis.
        height, margin: { t: 10, r: 10, b: 40 }, legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: css("--ink"), family: "system-ui, sans-serif", size: 12 },
        hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--rule"), font: { color: css("--ink") } },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--ink") },
        xaxis: { title: { text: xTitle, standoff: 8 }, gridcolor: css("--rule"), zeroline: false, automargin: true },
        yaxis: { title: { text: yTitle }, gridcolor: css("--rule"), zeroline: false, automargin: true },
        // A finger that scrolls the page must not zoom the chart.
        dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    });
    const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

    const dashes = ["dash", "dashdot", "longdash", "dot", "longdashdot"];
    const drawCurves = () => {
        const others = data.curves.filter(c => !c.isDefault);
        const traces = others.map((c, i) => ({
            x: c.cost, y: c.quality, name: c.name, mode: "lines",
            line: { width: 1.6, dash: c.reachable ? dashes[i % dashes.length] : "dot", color: c.reachable ? palette[(i + 1) % palette.length] : css("--quiet") },
            visible: c.reachable ? true : "legendonly",
        }));
        for (const c of data.curves.filter(c => c.isDefault))
            traces.push({ x: c.cost, y: c.quality, name: c.name, mode: "lines+markers", line: { width: 3, color: css("--default") }, marker: { size: 5 } });
        // A name to the right of the right-most point would be cut off at the chart's edge.
        const right = Math.max(...data.modelCost, ...others.filter(c => c.reachable).flatMap(c => c.cost));
        traces.push({
            x: data.modelCost, y: data.modelQuality, text: data.models, name: "one model alone", mode: "markers+text",
            textposition: data.modelCost.map(cost => cost > 0.6 * right ? "bottom left" : "bottom right"), marker: { symbol: "square", size: 9, color: css("--ink") },
        });
        traces.push({ x: [], y: [], mode: "markers", showlegend: false, hoverinfo: "skip", marker: { symbol: "circle-open", size: 18, color: css("--ink"), line: { width: 3 } } });
        return Plotly.react("tradeoff", traces, layout("mean cost per query", "mean quality on test queries", 520), config);
    };

    const answered = point => data.models.map((_, k) => point.paths.filter(p => p.answer === k).reduce((s, p) => s + p.share, 0));
    const drawShares = () => Plotly.react("shares", data.models.map((name, k) => ({
        x: data.points.map(p => p.cost), y: data.points.map(p => 100 * answered(p)[k]), name, stackgroup: "all",
        mode: "lines", line: { width: 0.5, color: colour(k) }, fillcolor: colour(k), hovertemplate: "%{y:.1f} %",
    })), { ...layout("mean cost per query", "share of queries answered, %", 320), hovermode: "x unified" }, config);

    const slider = document.getElementById("lambda");
    const names = stages => stages.map(k => data.models[k]).join(", ");

    const ruleRow = rule => {
        const row = element("div", undefined, "rule"), label = element("div");
        label.append(element("strong", data.models[rule.stage]), element("br"));
        label.append(element("small", (rule.after.length ? "after " + names(rule.after) : "asked first") + `; ${percent(rule.share)} of queries`));
        const axis = element("div", undefined, "axis"), ticks = element("div", undefined, "ticks");
        for (const band of rule.bands) {
            const i = element("i");
            i.style.left = 100 * band.from + "%";
            i.style.width = Math.max(0.2, 100 * (band.until - band.from)) + "%";
            i.style.background = band.next === null ? css("--default") : colour(band.next);
            i.title = `${band.from.toFixed(3)} to ${band.until.toFixed(3)}: ` + (band.next === null ? "stop" : "ask " + data.models[band.next]);
            axis.append(i);
        }
        if (rule.quality !== null && rule.bands.length > 1) {
            const mark = element("b");
            mark.style.left = `calc(${100 * rule.quality}% - 1px)`;
            axis.append(mark);
        }
        for (const at of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
            const tick = element("span", at.toString());
            tick.style.left = 100 * at + "%";
            ticks.append(tick);
        }
        const last = rule.bands.length ? rule.bands[rule.bands.length - 1] : null;
        const text = last === null ? "reports no confidence"
            : rule.quality === null ? "never stops here" : rule.bands.length === 1 ? "always stops here"
            : `stops from predicted quality ${rule.quality.toFixed(3)} on (recorded confidence ${rule.confidence.toFixed(3)})`;
        row.append(label, axis, element("small", text), ticks);
        return row;
    };

    const stopRow = (name, share) => {
        const row = element("div", undefined, "stop"), track = element("span"), bar = element("i");
        bar.style.width = 100 * share + "%";
        track.append(bar);
        row.append(element("span", name), track, element("span", percent(share)));
        return row;
    };

    const pathRow = path => {
        const row = element("tr"), share = element("td"), bar = element("i", undefined, "share");
        bar.style.width = 160 * path.share + "px";
        share.append(bar, percent(path.share));
        row.append(element("td", names(path.ran)), element("td", data.models[path.answer]), share);
        return row;
    };

    const choose = () => {
        const i = Number(slider.value), point = data.points[i], cheaper = data.points[i - 1];
        document.getElementById("lambda-value").textContent = point.lambda;
        let text = `Cost ${point.cost.toFixed(3)}, quality ${point.quality.toFixed(4)}: ${percent(point.quality / best.quality)} of the quality of ` +
            `${best.name} at ${percent(point.cost / best.cost)} of its cost.`;
        if (cheaper && point.cost > cheaper.cost)
            text += ` Over the next cheaper price it pays ${(point.cost - cheaper.cost).toFixed(3)} more per query and gains ` +
                `${(100 * (point.quality - cheaper.quality)).toFixed(2)} points of quality.`;
        document.getElementById("lambda-text").textContent = text;
        document.getElementById("stops").replaceChildren(...answered(point).map((share, k) => stopRow(data.models[k], share)));
        document.getElementById("rules").replaceChildren(...point.rules.map(ruleRow));
        document.getElementById("paths").replaceChildren(...point.paths.slice(0, 12).map(pathRow));
        Plotly.restyle("tradeoff", { x: [[point.cost]], y: [[point.quality]] }, [document.getElementById("tradeoff").data.length - 1]);
    };

    const drawKey = () => {
        const entry = (color, text) => {
            const span = element("span"), i = element("i");
            i.style.background = color;
            span.append(i, text);
            return span;
        };
        document.getElementById("key").replaceChildren(entry(css("--default"), "stop"),
            ...data.models.map((name, k) => k === 0 ? "" : entry(colour(k), "ask " + name)), entry(css("--ink"), "threshold"));
    };

    const drawAll = () => {
        drawCurves();
        drawShares();
        drawKey();
        choose();
    };
    slider.max = data.points.length - 1;
    // Where the reader starts: the cheapest price that keeps 98 % of the best model's quality.
    const start = data.points.findIndex(p => p.quality >= 0.98 * best.quality);
    slider.value = start < 0 ? data.points.length - 1 : start;
    slider.addEventListener("input", choose);
    drawInTheme(drawAll);
})();
