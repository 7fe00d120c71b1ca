-- Number of reviews and rating of each style, by month.
-- The average is exact: tenths are summed as integers and the quotient is rounded half up at the fourth digit.
SELECT
    beer_style,
    count(*) AS total_reviews,
    CAST(
        CAST((2000 * sum(CAST(10 * review_overall AS BIGINT)) + count(*)) // (2 * count(*)) AS DECIMAL(18, 0)) * 0.0001
        AS DECIMAL(5, 4)
    ) AS avg_rating,
    review_year,
    review_month
FROM review_flat
GROUP BY beer_style, review_year, review_month
