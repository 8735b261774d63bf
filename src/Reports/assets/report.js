(() => {
    const read = id => JSON.parse(document.getElementById(id).textContent);
    const figures = read("figures"), settings = read("settings");
    const root = document.documentElement;
    const narrow = () => window.innerWidth < 600;
    const css = name => getComputedStyle(root).getPropertyValue(name).trim();

    // The figures carry placeholders for the inks and for our blue, which the page replaces by those of its theme.
    const draw = id => {
        const ink = css("--ink"), quiet = css("--quiet"), rule = css("--rule");
        const text = JSON.stringify(figures[id]).replaceAll("rgba(17, 17, 17, 1.0)", ink)
            .replaceAll("rgba(138, 138, 138, 1.0)", quiet).replaceAll("rgba(0, 114, 178, 1.0)", css("--default"));
        const { data, layout } = JSON.parse(text);
        const small = !id.startsWith("tradeoff");
        Object.assign(layout, {
            paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
            font: { color: ink, family: "system-ui, sans-serif", size: 12 },
            modebar: { bgcolor: "rgba(0,0,0,0)", color: quiet, activecolor: ink },
            hoverlabel: { bgcolor: css("--panel"), bordercolor: rule, font: { color: ink } },
        });
        for (const axis of [layout.xaxis, layout.yaxis])
            Object.assign(axis, { gridcolor: rule, linecolor: quiet, automargin: true });
        if (id.startsWith("regret"))
            for (const axis of [layout.xaxis, layout.yaxis]) Object.assign(axis, { dtick: 1, exponentformat: "power" });
        // A random mixture may cost twice the largest model; the room is for the others, and zooming out shows the rest.
        if (id === "tradeoff") {
            const costs = data.filter(trace => trace.name !== "random mixture").flatMap(trace => trace.x ?? []);
            if (costs.length) layout.xaxis.range = [0, 1.04 * Math.max(...costs)];
        }
        if (id.startsWith("reliability"))
            for (const axis of [layout.xaxis, layout.yaxis]) axis.range = [-0.03, 1.03];
        if (narrow() && layout.showlegend !== false && layout.height > 400) layout.height += 140;
        // A finger that scrolls the page must not zoom the chart.
        if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
        return Plotly.react(document.getElementById(id), data, layout,
            { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"],
              ...(small && { displayModeBar: false }) });
    };

    const slider = document.getElementById("lambda");
    const percent = x => (100 * x).toFixed(1) + " %";
    const stopRow = stop => {
        const row = document.createElement("div"), name = document.createElement("span");
        const track = document.createElement("span"), bar = document.createElement("i"), text = document.createElement("span");
        row.className = "stop";
        name.textContent = stop.model;
        bar.style.width = 100 * stop.share + "%";
        track.append(bar);
        text.textContent = percent(stop.share) +
            (stop.threshold === null ? "" : ", threshold " + stop.threshold.toFixed(3));
        row.append(name, track, text);
        return row;
    };
    const choose = () => {
        const s = settings[Number(slider.value)];
        document.getElementById("lambda-value").textContent = s.lambda;
        document.getElementById("lambda-text").textContent =
            `Quality ${s.quality.toFixed(3)} (${s.qualityRange}), cost ${s.cost.toFixed(2)} (${s.costRange}).` +
            (s.stops.length ? " Share of queries answered by each model:" : "");
        document.getElementById("stops").replaceChildren(...s.stops.map(stopRow));
        const last = figures.tradeoff.data.length - 1;
        Plotly.restyle("tradeoff", { x: [[s.cost]], y: [[s.quality]] }, [last]);
    };

    const drawAll = () => {
        for (const id of Object.keys(figures)) draw(id);
        if (slider && settings.length) choose();
        // What a test in a headless browser reads: how many charts were drawn, and whether the page fits its window.
        root.dataset.charts = document.querySelectorAll(".js-plotly-plot").length;
        root.dataset.fits = root.scrollWidth <= window.innerWidth;
    };
    if (slider && settings.length) {
        slider.max = settings.length - 1;
        slider.value = Math.floor(settings.length / 2);
        slider.closest(".slider").hidden = false;
        slider.addEventListener("input", choose);
    }
    drawInTheme(drawAll);
})();
